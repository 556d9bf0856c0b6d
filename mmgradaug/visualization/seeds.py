"""Curves of several ways of training, each with several seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from ..engine.run_log import Scalars
from .canvas import COLOURS, new_figure, save_figure


def save_seed_curves(
    runs: Mapping[str, Sequence[Scalars]],
    path: Path | str,
    metric: str = 'top1',
    title: str = '',
) -> Path:
    """Draw losses of the full network and a metric: seeds thin, their mean thick.

    Args:
        runs: Logs of each way's seeds, by its name; those of a way have the same steps.
        path: The PNG file to write.
        metric: End of the metric's name, such as ``top1`` of ``accuracy/top1``.
        title: Title of the whole picture.

    Returns:
        The file's path.

    Raises:
        ValueError: A log has no such metric, or the seeds of a way have other steps.
    """
    figure = new_figure(10.5, 4.4)
    left, right = figure.subplots(1, 2)
    for colour, (name, logs) in zip(COLOURS[::-1], runs.items(), strict=False):
        losses = [log.series('train', 'loss_cls') for log in logs]
        _draw_seeds(left, losses, colour, name)
        values = [log.series('val', log.metric_key(metric) or metric) for log in logs]
        ends = [series[-1] for _, series in values if series]
        if len(ends) != len(logs):
            raise ValueError(f'{name}: no validation with {metric!r} in the log of every seed')
        label = f'{name}, last {np.mean(ends):.1f}'
        _draw_seeds(right, values, colour, label, marker='o')
    left.set(title='loss of the full network on its batch', xlabel='iteration', ylabel='loss')
    left.set_ylim(bottom=0)
    right.set(title='validation', xlabel='epoch', ylabel='top-1 accuracy / %')
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=9)
    figure.suptitle(title, fontsize=11)
    return save_figure(figure, path)


def _draw_seeds(
    axes: Axes,
    series: Sequence[tuple[list[float], list[float]]],
    colour: str,
    label: str,
    marker: str = '',
) -> None:
    """A thin line a seed, and a thick one for their mean."""
    steps = series[0][0]
    if any(other != steps for other, _ in series):
        raise ValueError(f'{label}: the seeds logged other steps, expected the same of all')
    for _, values in series:
        axes.plot(steps, values, color=colour, linewidth=0.8, alpha=0.45)
    mean = np.mean([values for _, values in series], axis=0)
    axes.plot(steps, mean, color=colour, linewidth=2, marker=marker, markersize=4, label=label)
