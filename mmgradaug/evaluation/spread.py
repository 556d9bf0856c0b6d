"""Values of one quantity over seeds: mean, standard deviation, and differences by seed."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Spread:
    """Values of one quantity, one a seed.

    Attributes:
        values: In the order of the seeds.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean of the values."""
        return statistics.fmean(self.values)

    @property
    def std(self) -> float | None:
        """Standard deviation (n - 1 in the denominator); None of one value."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def __sub__(self, other: Spread) -> Spread:
        """Return the differences seed by seed; both need as many seeds."""
        return Spread(tuple(a - b for a, b in zip(self.values, other.values, strict=True)))

    def __str__(self) -> str:
        return f'{self.mean:.2f}' + ('' if self.std is None else f' ± {self.std:.2f}')

    def to_dict(self) -> dict[str, Any]:
        """Return mean, standard deviation and values, for JSON."""
        return {'mean': self.mean, 'std': self.std, 'by_seed': list(self.values)}
