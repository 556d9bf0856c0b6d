"""Metrics and cost over widths, over the severity of corruptions, and over options of training."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, mode
from typing import Any

import numpy as np

from ..evaluation.corruptions import GROUPS, CorruptionResult
from ..evaluation.widths import WidthResult, shown_metrics, shown_of
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
        having = [r for r in results if name in shown_of(r.metrics)]
        values = [shown_of(r.metrics)[name] for r in having]
        lines.append(Line(name, [r.width for r in having], values, colour_at(index)))
    return lines


def save_corruptions(results: Sequence[CorruptionResult], path: Path, title: str) -> Path:
    """Draw a row of charts for each metric, a chart for each group of corruptions."""
    clean, *corrupted = results
    shown = {r.corruption for r in corrupted}
    groups = {group: [n for n in names if n in shown] for group, names in GROUPS.items()}
    groups = {group: names for group, names in groups.items() if names}
    metrics = shown_of(clean.metrics)
    figure = new_figure(3.6 * len(groups) + 0.8, 3.8 * len(metrics), title)
    charts = figure.subplots(len(metrics), len(groups), squeeze=False, sharey='row')
    for metric, row in zip(metrics, charts, strict=True):
        top = max(r.value(metric) for r in results)
        for axes, (group, names) in zip(row, groups.items(), strict=True):
            lines = []
            for index, name in enumerate(names):
                own = [clean, *(r for r in corrupted if r.corruption == name)]
                values = [r.value(metric) for r in own]
                label = name.replace('_', ' ')
                lines.append(Line(label, [r.severity for r in own], values, colour_at(index)))
            draw_lines(axes, lines, f'{group}: {metric}', 'severity (0: clean images)')
            axes.set_ylim(0, 1.05 * top or 1)
    return save_figure(figure, path)


def save_sweep(runs: Sequence[Any], path: Path | str, metric: str) -> Path:
    """Draw a metric over the number of sub-networks and their smallest width (figure 2), and time.

    ``runs`` are those of :func:`~mmgradaug.reproduction.rows.read_sweep`. Each option is drawn at
    the other's most frequent value. Lines are means, dots seeds; beside them stands the time of a
    step relative to plain training's, where both are recorded.
    """
    points = defaultdict(list)
    for run in runs:
        points[run.num_subnets, run.min_width].append(run)
    count, width = (mode(values) for values in zip(*(k for k in points if k[0]), strict=True))
    seconds = {key: fmean(run.seconds for run in of) for key, of in points.items()}
    plain = seconds.get((0, 1.0), math.nan)
    times = {key: time / plain for key, time in seconds.items() if time / plain > 0}
    panels: dict[str, dict[tuple[int, float], float]] = {
        f'sub-networks, widths from {width:g}': {
            k: k[0] for k in points if k[1] == width or not k[0]
        },
        f'smallest width, {count} sub-networks': {k: k[1] for k in points if k[0] == count},
        'time of a step, relative to plain training': times,
    }
    figure = new_figure(13.0, 4.2, metric)
    for axes, (xlabel, places) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        axes.set(xlabel=xlabel, xmargin=0.15)
        means = []
        for key, x in sorted(places.items(), key=lambda place: place[1]):
            values = [run.value for run in points[key]]
            means.append((x, fmean(values)))
            axes.plot([x] * len(values), values, 'o', color=colour_at(0), markersize=3)
            name = f'n={key[0]}, {key[1]:g}' if key[0] else 'plain'
            text = name if places is times else f'{times[key]:.2f} x' if key in times else ''
            axes.annotate(text, means[-1], (5, 5), textcoords='offset points', fontsize=8)
        if places is not times:
            axes.plot(*zip(*means, strict=True), color=colour_at(0))
            axes.set_xticks([x for x, _ in means])
    return save_figure(figure, path)


def save_frontier(
    points: Mapping[str, tuple[float, float, float]], path: Path | str, title: str
) -> Path:
    """Draw gains over plain training with their intervals, over the cost of a run.

    Points are the cost of a run in plain ones, the mean gain, and half of its interval, by name;
    those of plain training, whose names begin so, are joined: a line to beat.
    """
    figure = new_figure(9.0, 5.5, title)
    axes = figure.subplots()
    axes.set_xlabel('cost, in runs of plain training (black: plain training, longer)')
    axes.set(ylabel='gain, with its 95 % interval', xmargin=0.15)  # room for names
    plain = sorted(point for name, point in points.items() if name.startswith('plain'))
    axes.plot([p[0] for p in plain], [p[1] for p in plain], color='black')
    for name, (cost, gain, half) in points.items():
        colour = 'black' if name.startswith('plain') else colour_at(5)
        axes.errorbar(cost, gain, half, fmt='o', color=colour, markersize=4, linewidth=0.8)
        axes.annotate(name, (cost, gain), (5, 3), textcoords='offset points', fontsize=7)
    axes.grid(alpha=0.3)
    return save_figure(figure, path)
