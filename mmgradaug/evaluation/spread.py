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

    @property
    def listed(self) -> str:
        """All values, for people."""
        return ', '.join(f'{value:.2f}' for value in self.values)

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


@dataclass(frozen=True)
class Comparison:
    """Several ways of training by one metric, of which one is compared with another.

    Attributes:
        metric: Name of the metric, of which more is better.
        values: Of each way by its name, one a seed, in the same order of seeds.
        better: The way in question.
        base: What it is compared with.
    """

    metric: str
    values: Mapping[str, Sequence[float]]
    better: str
    base: str

    @property
    def spreads(self) -> dict[str, Spread]:
        """Mean and spread of each way."""
        return {name: Spread(tuple(values)) for name, values in self.values.items()}

    @property
    def gap(self) -> Spread:
        """``better`` minus ``base``, seed by seed."""
        return difference(self.spreads[self.better], self.spreads[self.base])

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            self.metric: {name: spread.to_dict() for name, spread in self.spreads.items()},
            'difference': self.gap.to_dict(),
            'verdict': verdict(self.values, self.better, self.base),
            'seeds': len(self.values[self.better]),
        }
