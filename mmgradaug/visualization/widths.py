"""Precision, computation and time of a network over its widths."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..evaluation.widths import WidthResult, shown_metrics
from .canvas import colour_at, new_figure, save_figure
from .curves import Line, draw_lines


def save_widths(results: Sequence[WidthResult], path: Path | str, title: str = '') -> Path:
    """Draw average precision (or the evaluator's metrics), FLOPs and time over the width."""
    results = sorted(results, key=lambda result: result.width)
    widths = [result.width for result in results]
    ticks = [f'{r.width:g}' + ('' if r.trained else '\nnot trained') for r in results]
    flops = [
        Line('whole network', widths, [r.flops / 1e9 for r in results], colour_at(2)),
        Line('backbone', widths, [r.backbone_flops / 1e9 for r in results], colour_at(3)),
    ]
    times = [1e3 * np.quantile(r.seconds, (0.25, 0.5, 0.75)) for r in results]
    low, median, high = np.transpose(times).tolist()
    panels = {
        'precision': metric_lines(results),
        'GFLOPs, one image': flops,
        'ms, one image (median, quartiles)': [Line('', widths, median, colour_at(4))],
    }
    figure = new_figure(12.0, 4.2, title)
    for axes, (name, lines) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        draw_lines(axes, lines, name, 'width (share of the channels)')
        for line in lines:
            for point in zip(line.steps, line.values, strict=True):
                text, above = f'{point[1]:.3g}', 'offset points'
                axes.annotate(text, point, (0, 5), textcoords=above, fontsize=7, ha='center')
        axes.set_xticks(widths, ticks)
        axes.set_ylim(0, 1.12 * axes.get_ylim()[1])  # room for the numbers
        axes.margins(x=0.12)
    figure.axes[2].fill_between(widths, low, high, color=colour_at(4), alpha=0.25)
    return save_figure(figure, path)


def metric_lines(results: Sequence[WidthResult]) -> list[Line]:
    """Return a line for each metric; widths whose evaluator gave none are left out."""
    lines = []
    for index, name in enumerate(shown_metrics(results)):
        having = [r for r in results if name in r.shown()]
        values = [r.shown()[name] for r in having]
        lines.append(Line(name, [r.width for r in having], values, colour_at(index)))
    return lines
