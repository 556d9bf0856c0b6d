"""Median and spread of measured times."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


class Timed:
    """Something whose times were measured.

    Attributes:
        seconds: Of each measurement.
    """

    seconds: list[float]

    @property
    def median(self) -> float:
        """Median seconds."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> tuple[float, float]:
        """First and third quartile of the seconds."""
        return quartiles_of(self.seconds)


def quartiles_of(values: Sequence[float]) -> tuple[float, float]:
    """First and third quartile; of one value that value twice."""
    if len(values) < 2:
        return values[0], values[0]
    quartiles = statistics.quantiles(values, n=4, method='inclusive')
    return quartiles[0], quartiles[2]
