"""Mean and spread over seeds, of each of several ways and of their differences."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Spread:
    """Values of one quantity, one a seed.

    Attributes:
        values: They, in the order of the seeds.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Their mean."""
        return statistics.fmean(self.values)

    @property
    def std(self) -> float | None:
        """Their standard deviation (n - 1 in the denominator); None of one value."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def __str__(self) -> str:
        spread = '' if self.std is None else f' ± {self.std:.2f}'
        return f'{self.mean:.2f}{spread}'

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {'mean': self.mean, 'std': self.std, 'by_seed': list(self.values)}


def difference(one: Spread, other: Spread) -> Spread:
    """``one`` minus ``other``, seed by seed.

    Raises:
        ValueError: If they have not as many seeds.
    """
    return Spread(tuple(a - b for a, b in zip(one.values, other.values, strict=True)))


def verdict(found: Mapping[str, Sequence[float]], better: str, base: str) -> str:
    """In words, whether one way is better than another, seed by seed.

    Args:
        found: Values of each way by its name, more being better, in the same order of seeds.
        better: The way in question.
        base: What it is compared with.
    """
    gap = difference(Spread(tuple(found[better])), Spread(tuple(found[base])))
    wins = sum(value > 0 for value in gap.values)
    seeds = len(gap.values)
    if wins == seeds:
        return f'{better} is better with every seed'
    if not wins:
        return f'{better} is better with no seed'
    return f'{better} is better with {wins} of {seeds} seeds'
