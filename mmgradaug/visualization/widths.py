"""Precision, computation and time of a network over its widths."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from ..evaluation.widths import AP_NAMES, WidthResult, shown_metrics
from .canvas import COLOURS, new_figure, save_figure


def save_widths(results: Sequence[WidthResult], path: Path | str, title: str = '') -> Path:
    """Draw average precision (or the evaluator's metrics), FLOPs and time over the width.

    Args:
        results: One a width.
        path: The PNG file to write.
        title: Title of the whole picture.

    Returns:
        The file's path.

    Raises:
        ValueError: There is no result.
    """
    if not results:
        raise ValueError('no width was evaluated: there is nothing to draw')
    results = sorted(results, key=lambda result: result.width)
    figure = new_figure(12.0, 4.2)
    left, middle, right = figure.subplots(1, 3)
    _draw_precision(left, results)
    _draw_flops(middle, results)
    _draw_seconds(right, results)
    for axes in (left, middle, right):
        axes.set_xlabel('width (share of the channels)')
        axes.set_xticks([result.width for result in results], [_tick(r) for r in results])
        axes.set_ylim(0, 1.12 * axes.get_ylim()[1])  # room for the numbers
        axes.margins(x=0.12)
        axes.grid(alpha=0.3)
    figure.suptitle(title, fontsize=11)
    return save_figure(figure, path)


def _tick(result: WidthResult) -> str:
    """A width, and whether it is one that training never saw."""
    return f'{result.width:g}' + ('' if result.trained else '\nnot trained')


def _draw_precision(axes: Axes, results: Sequence[WidthResult]) -> None:
    """Average precision (IoU 0.50 to 0.95), or the metrics of an evaluator without it."""
    axes.set_title('precision', fontsize=10)
    names = shown_metrics(results)
    axes.set_ylabel('AP (IoU 0.50:0.95)' if {*names} <= {*AP_NAMES.values()} else 'metric')
    for index, label in enumerate(names):
        points = [(r.width, r.shown()[label]) for r in results if label in r.shown()]
        _draw_line(axes, points, COLOURS[index], label, '{:.3f}', below=index == 0)
    if axes.lines:
        axes.legend(fontsize=8, loc='lower right')
    else:
        axes.text(0.5, 0.5, 'the evaluator gives no metric', ha='center', transform=axes.transAxes)


def _draw_flops(axes: Axes, results: Sequence[WidthResult]) -> None:
    """FLOPs of the network and of its backbone, the part that shrinks."""
    axes.set_title('computation, one image', fontsize=10)
    axes.set_ylabel('GFLOPs')
    whole = [(r.width, r.flops / 1e9) for r in results]
    backbone = [(r.width, r.backbone_flops / 1e9) for r in results]
    _draw_line(axes, whole, COLOURS[2], 'whole network', '{:.3g}')
    _draw_line(axes, backbone, COLOURS[3], 'backbone', '{:.3g}')
    axes.legend(fontsize=8, loc='lower right')


def _draw_seconds(axes: Axes, results: Sequence[WidthResult]) -> None:
    """Median time, with quartiles."""
    axes.set_title('time, one image', fontsize=10)
    axes.set_ylabel('ms')
    widths = [r.width for r in results]
    low, median, high = 1e3 * np.percentile([r.seconds for r in results], (25, 50, 75), axis=1)
    axes.fill_between(widths, low, high, color=COLOURS[4], alpha=0.25, label='quartiles')
    points = list(zip(widths, median, strict=True))
    _draw_line(axes, points, COLOURS[4], 'median', '{:.3g}')
    axes.legend(fontsize=8, loc='lower right')


def _draw_line(
    axes: Axes,
    points: Sequence[tuple[float, float]],
    colour: str,
    label: str,
    form: str,
    below: bool = False,
) -> None:
    """A line with a marker and its value above or below every point (x, y)."""
    axes.plot(*zip(*points, strict=True), 'o-', color=colour, markersize=4, label=label)
    offset = (0, -11) if below else (0, 5)
    for point in points:
        axes.annotate(
            form.format(point[1]),
            point,
            xytext=offset,
            textcoords='offset points',
            fontsize=7,
            ha='center',
        )
