"""Precision, computation and time of a network over its widths."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from ..evaluation.widths import WidthResult, shown_metrics
from .canvas import colour_at, new_figure, save_figure
from .curves import Line, draw_lines


def save_widths(results: Sequence[WidthResult], path: Path | str, title: str = '') -> Path:
    """Draw average precision (or the evaluator's metrics), FLOPs and time over the width.

    Args:
        results: One a width.
        path: The PNG file to write.
        title: Title of the whole picture.

    Returns:
        The path.
    """
    results = sorted(results, key=lambda result: result.width)
    widths = [result.width for result in results]
    ticks = [f'{r.width:g}' + ('' if r.trained else '\nnot trained') for r in results]
    figure = new_figure(12.0, 4.2, title)
    left, middle, right = figure.subplots(1, 3)
    _draw_panel(left, precision_lines(results), 'precision', '{:.3f}')
    flops = {'whole network': 'flops', 'backbone': 'backbone_flops'}
    _draw_panel(middle, [
        Line(label, widths, [getattr(r, name) / 1e9 for r in results], colour_at(2 + index))
        for index, (label, name) in enumerate(flops.items())
    ], 'GFLOPs, one image', '{:.3g}')  # fmt: skip
    times = [1e3 * np.quantile(r.seconds, (0.25, 0.5, 0.75)) for r in results]
    low, median, high = np.transpose(times).tolist()
    _draw_panel(right, [Line('median', widths, median, colour_at(4))], 'ms, one image', '{:.3g}')
    right.fill_between(widths, low, high, color=colour_at(4), alpha=0.25, label='quartiles')
    right.legend(fontsize=8)
    for axes in (left, middle, right):
        axes.set_xticks(widths, ticks)
        axes.set_ylim(0, 1.12 * axes.get_ylim()[1])  # room for the numbers
        axes.margins(x=0.12)
    return save_figure(figure, path)


def precision_lines(results: Sequence[WidthResult]) -> list[Line]:
    """Return a line for each metric; widths whose evaluator gave none are left out."""
    lines = []
    for index, name in enumerate(shown_metrics(results)):
        having = [r for r in results if name in r.shown()]
        values = [r.shown()[name] for r in having]
        lines.append(Line(name, [r.width for r in having], values, colour_at(index)))
    return lines


def _draw_panel(axes: Axes, lines: Sequence[Line], title: str, form: str) -> None:
    """Draw lines with the value above every point."""
    draw_lines(axes, lines, title, 'width (share of the channels)')
    for line in lines:
        for point in zip(line.steps, line.values, strict=True):
            text = form.format(point[1])
            axes.annotate(text, point, (0, 5), textcoords='offset points', fontsize=7, ha='center')
