"""Metrics over the severity of corruptions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..evaluation.corruptions import GROUPS, CorruptionResult
from ..evaluation.widths import shown_of
from .canvas import colour_at, new_figure, save_figure
from .curves import Line, draw_lines


def save_corruptions(results: Sequence[CorruptionResult], path: Path, title: str = '') -> Path:
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
