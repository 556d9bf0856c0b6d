"""Print measured costs as tables."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
from collections.abc import Sequence

import torch
from rich.console import Console
from rich.table import Table

from .cost import StepCost
from .cost_kinds import PLAIN, PLAIN_SLIM, TORCHVISION


def print_costs(costs: Sequence[StepCost], args: argparse.Namespace) -> None:
    """Print the cost of each step, its ratios to the first one, and the time of each pass."""
    console = Console(width=110)
    height, width = args.size
    console.print(
        f'{args.config}: {args.batch} images of {height} x {width} pixels, {args.rounds} rounds, '
        f'{args.device}, {os.cpu_count()} cores ({platform.machine()}), '
        f'{torch.get_num_threads()} threads, torch {torch.__version__}'
    )
    console.print(_steps_table(costs))
    for text in _against_torchvision(costs):
        console.print(text)
    passes = next((cost for cost in costs if cost.passes), None)
    if passes is not None:
        console.print(_passes_table(passes))


def print_shapes(counts: Sequence[int]) -> None:
    """Print how many different convolutions there are after some iterations of a run.

    Args:
        counts: After each iteration, the first included.
    """
    chosen = sorted({min(n, len(counts)) for n in (1, 10, 100, 300, len(counts))})
    shown = ', '.join(f'{counts[n - 1]} after {n}' for n in chosen)
    print(f'different convolutions of the backbone, forward: {shown} iterations')


def _against_torchvision(costs: Sequence[StepCost]) -> list[str]:
    """Plain steps compared with torchvision's, where that was measured."""
    by_name = {cost.name: cost for cost in costs}
    theirs = by_name.get(TORCHVISION)
    if theirs is None:
        return []
    return [
        f"{name}: {_time_ratio(by_name[name], theirs):.3f} of the time of torchvision's step, "
        f'{by_name[name].peak_bytes / theirs.peak_bytes:.3f} of its memory'
        for name in (PLAIN, PLAIN_SLIM)
    ]


def _time_ratio(cost: StepCost, other: StepCost) -> float:
    """Ratio of two steps' times.

    Steps of one round ran side by side: the median of their ratios is less noisy than the ratio
    of the medians.
    """
    pairs = zip(cost.seconds, other.seconds, strict=True)
    return statistics.median(a / b for a, b in pairs)


def _steps_table(costs: Sequence[StepCost]) -> Table:
    """One row a step, each with its ratios to the first."""
    table = Table(title='training step (median, quartiles; ratio to plain)')
    for column in ('step', 'GFLOPs', 'x', 'seconds', 'x', 'x time / x FLOPs', 'peak MB', 'x'):
        table.add_column(column, justify='left' if column == 'step' else 'right', overflow='fold')
    table.add_column('GFLOPs at inference', justify='right')
    plain = costs[0]
    for cost in costs:
        flops = cost.train_flops / plain.train_flops
        ratio = _time_ratio(cost, plain)
        low, high = cost.spread
        table.add_row(
            cost.name,
            f'{cost.train_flops / 1e9:.1f}',
            f'{flops:.3f}',
            f'{cost.median:.2f} ({low:.2f} to {high:.2f})',
            f'{ratio:.3f}',
            f'{ratio / flops:.3f}',
            f'{cost.peak_bytes / 1e6:.0f}',
            f'{cost.peak_bytes / plain.peak_bytes:.3f}',
            f'{cost.predict_flops / 1e9:.1f}',
        )
    return table


def _passes_table(cost: StepCost) -> Table:
    """Median time of every pass."""
    table = Table(title=f'passes of a {cost.name} step')
    for column in ('pass', 'seconds', 'smallest', 'largest'):
        table.add_column(column, justify='left' if column == 'pass' else 'right')
    for name, seconds in cost.passes.items():
        values = (statistics.median(seconds), min(seconds), max(seconds))
        table.add_row(name, *(f'{value:.2f}' for value in values))
    return table
