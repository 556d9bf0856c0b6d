"""Median and spread of measured times."""

from __future__ import annotations

import statistics


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
        if len(self.seconds) < 2:
            return self.seconds[0], self.seconds[0]
        quartiles = statistics.quantiles(self.seconds, n=4, method='inclusive')
        return quartiles[0], quartiles[2]
