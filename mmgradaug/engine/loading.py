"""Batches of a data loader for as long as somebody wants some."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


def endless(loader: Iterable[Any]) -> Iterator[Any]:
    """Batches of a loader, over and over; small data sets have few.

    Raises:
        ValueError: If the loader has no batch at all.
    """
    while True:
        count = 0
        for batch in loader:
            count += 1
            yield batch
        if not count:
            raise ValueError(
                'the data loader gives no batch, expected at least one: check the annotation file, '
                'filter_cfg and that batch_size is not above the number of images with drop_last'
            )
