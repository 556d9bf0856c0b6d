"""Random draws that depend on where a run stands, not on how it came there."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

from .samples import load_sample

STEP, SAMPLE = 0, 1  # first numbers of the keys: what the draws are for


def seed_generators(*key: int) -> None:
    """Seed the global generators of Python, NumPy and torch (all devices) from whole numbers.

    Args:
        key: Numbers >= 0. Keys that differ in one number give unrelated streams.
    """
    words = np.random.SeedSequence(key).generate_state(6)
    random.seed(int(words[0]) << 32 | int(words[1]))
    np.random.seed(words[2:4])
    torch.manual_seed(int(words[4]) << 32 | int(words[5]))


class NumberedBatch(list):
    """Indices of a batch's samples, and which batch of the run it is."""

    def __init__(self, indices: Iterable[Any], number: int) -> None:
        super().__init__(indices)
        self.number = number

    def __reduce__(self) -> tuple:
        return NumberedBatch, (list(self), self.number)


class NumberedBatches:
    """A batch sampler that numbers the batches of another one through the whole run.

    Worker processes draw batches ahead of the training loop, each its share of them, so neither
    the loop's iteration nor a worker's own count says which batch it is.

    Attributes:
        number: Number of the next batch drawn.
        skip: Batches to leave out, once, when it is iterated next; they are not counted.
    """

    def __init__(self, batches: Any) -> None:
        self.batches = batches
        self.number = 0
        self.skip = 0

    def __iter__(self) -> Iterator[NumberedBatch]:
        skip, self.skip = self.skip, 0
        for indices in islice(self.batches, skip, None):
            self.number += 1
            yield NumberedBatch(indices, self.number - 1)

    def __len__(self) -> int:
        return len(self.batches)

    def __getattr__(self, name: str) -> Any:
        """What others look for in the batch sampler: its sampler, batch size and so on."""
        if name == 'batches':  # while unpickling: there is nothing to ask yet
            raise AttributeError(name)
        return getattr(self.batches, name)


class SeededFetch:
    """Loads the samples of a batch, each with draws of its own.

    Set as a data set's ``__getitems__``, which torch's fetcher prefers to one index at a time.

    Args:
        dataset: The data set.
        key: Numbers that set this run and process apart from others.
    """

    def __init__(self, dataset: Any, key: tuple[int, ...]) -> None:
        self.dataset = dataset
        self.key = key
        self.fetch = getattr(dataset, '__getitems__', None)

    def __call__(self, batch: Any) -> list[Any]:
        """Load the samples of a batch of indices, in their order."""
        number = getattr(batch, 'number', None)
        if number is None:  # drawn by someone else than the training loop
            return self._fetch_plain(batch)
        if self.fetch is not None:  # the data set loads whole batches
            seed_generators(SAMPLE, *self.key, number)
            return self.fetch(batch)
        samples = []
        for place, index in enumerate(batch):
            seed_generators(SAMPLE, *self.key, number, place)
            samples.append(load_sample(self.dataset, index))
        return samples

    def _fetch_plain(self, batch: Any) -> list[Any]:
        return self.fetch(batch) if self.fetch else [load_sample(self.dataset, i) for i in batch]


def number_batches(loader: DataLoader, key: tuple[int, ...]) -> NumberedBatches | None:
    """Make the random draws of a loader's samples depend on their place in the run alone.

    So they are the same for any number of workers, persistent or not, and after a resume.

    Args:
        loader: A loader that nobody has iterated yet; changed in place.
        key: Numbers that set this run and process apart from others.

    Returns:
        The loader's batch sampler, or None where it has no batches of indices to number.
    """
    if loader.batch_sampler is None or isinstance(loader.dataset, IterableDataset):
        return None
    if isinstance(loader.batch_sampler, NumberedBatches):
        return loader.batch_sampler
    batches = NumberedBatches(loader.batch_sampler)
    # DataLoader refuses this attribute after it was built, since iterators keep the old one:
    # here there is none yet.
    object.__setattr__(loader, 'batch_sampler', batches)
    loader.dataset.__getitems__ = SeededFetch(loader.dataset, key)  # type: ignore[attr-defined]
    return batches
