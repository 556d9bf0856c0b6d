"""The charts of a report, small enough for a narrow window and aligned in a wide one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..engine.run_log import Scalars
from ..visualization.canvas import COLOURS, new_figure
from ..visualization.curves import draw_losses, draw_precision
from .log_keys import names_of, pass_title, passes_of, thinned
from .run import Run
from .svg import inline_svg

TIMES = {
    'seconds': 'seconds of a pass',
    'time': 'seconds of an iteration',
    'data_time': 'seconds of it, waiting for data',
}
MOST_POINTS = 250  # a line; more are averaged, which keeps the page small
SIZE = (3.4, 2.3)  # inches; a page shows a chart about a third larger, its text with it
_SMALL = 8  # points
_MARGINS = {'left': 0.16, 'right': 0.97, 'bottom': 0.18, 'top': 0.96}
_TICKS = 5  # at most, about
_RUNS_FROM = 4  # runs have other colours than the first passes
_WIDE_RANGE = 100  # largest to smallest, from which on an axis is logarithmic


@dataclass(frozen=True)
class Chart:
    """A chart: its title in the page, and the drawing."""

    title: str
    svg: Markup


@dataclass(frozen=True)
class Line:
    """A line of a chart."""

    label: str
    steps: Sequence[float]
    values: Sequence[float]
    colour: str


def colour_at(index: int) -> str:
    """The colour of a pass by its place."""
    return COLOURS[index % len(COLOURS)]


def run_colour(index: int) -> str:
    """The colour of a run by its place."""
    return colour_at(index + _RUNS_FROM)


def loss_charts(run: Run) -> list[Chart]:
    """The loss of each pass, then every single loss with a line for each pass that has it."""
    if not run.scalars.train:
        return []
    scalars = replace(run.scalars, train=thinned(run.scalars.train, MOST_POINTS))
    figure, axes = new_chart()
    draw_losses(axes, scalars)
    axes.set_title('')
    finish(axes, 'iteration')
    title = 'loss by pass' if len(passes_of(scalars.train)) > 1 else 'loss'
    total = Chart(title, inline_svg(figure, f'{run.name}: {title}'))
    return [total, *pass_charts(run, 'loss', leave_out=('loss',))]


def time_charts(run: Run) -> list[Chart]:
    """Time of each pass, of whole iterations, and of it the wait for data."""
    charts = {chart.title: chart.svg for chart in pass_charts(run, 'seconds')}
    return [Chart(title, charts[key]) for key, title in TIMES.items() if key in charts]


def pass_charts(run: Run, kind: str, leave_out: Iterable[str] = ()) -> list[Chart]:
    """A chart for each name of a kind of values, a line for each pass that has it."""
    train = thinned(run.scalars.train, MOST_POINTS)
    scalars, passes = Scalars(train, []), passes_of(train)
    charts = []
    for name, keys in names_of(train, kind).items():
        if name in leave_out:
            continue
        lines = [
            Line(pass_title(p), *scalars.series('train', k), colour_at(passes.index(p)))
            for p, k in keys.items()
        ]
        charts.append(lines_chart(name, lines, 'iteration', run.name))
    return charts


def precision_charts(run: Run) -> list[Chart]:
    """Box and mask AP over the run; every other metric where it has neither."""
    if run.scalars.last('bbox_mAP') is None and run.scalars.last('segm_mAP') is None:
        return [
            lines_chart(name, [metric_line(run, name, COLOURS[0])], unit_of(run), run.name)
            for name in run.metrics()
        ]
    figure, axes = new_chart()
    draw_precision(axes, run.scalars)
    axes.set_title('')
    finish(axes, unit_of(run))
    return [Chart('average precision', inline_svg(figure, f'{run.name}: average precision'))]


def comparison_charts(runs: Sequence[Run]) -> list[Chart]:
    """What can be compared between runs: metrics, the full network's loss, time an iteration."""
    charts = []
    for name in dict.fromkeys(name for run in runs for name in _compared_metrics(run)):
        having = [(i, run) for i, run in enumerate(runs) if name in run.metrics()]
        lines = [metric_line(run, name, run_colour(i)) for i, run in having]
        charts.append(lines_chart(name, lines, unit_of(having[0][1]), 'all runs', legend=True))
    compared = {"full network's loss": ('full/loss', 'loss'), 'seconds an iteration': ('time',)}
    for title, keys in compared.items():
        lines = [_first_line(run, keys, run_colour(i)) for i, run in enumerate(runs)]
        charts.append(lines_chart(title, lines, 'iteration', 'all runs', legend=True))
    return [chart for chart in charts if chart.svg]


def _compared_metrics(run: Run) -> list[str]:
    """Average precisions, or whatever a run measured instead."""
    names = list(run.metrics())
    return [name for name in names if name.endswith('_mAP')] or names


def new_chart() -> tuple[Figure, Axes]:
    """A figure with one panel, its margins fixed: fitting them to the text takes twice the time."""
    figure = new_figure(*SIZE)
    figure.set_layout_engine('none')
    return figure, figure.subplots(gridspec_kw=_MARGINS)


def unit_of(run: Run) -> str:
    """What the steps of a run's validations count."""
    return 'epoch' if run.scalars.by_epoch else 'iteration'


def metric_line(run: Run, name: str, colour: str) -> Line:
    """A metric over the run."""
    steps, values = zip(*run.metrics()[name], strict=True)
    return Line(run.name, steps, values, colour)


def lines_chart(
    title: str, lines: Sequence[Line], unit: str, where: str, legend: bool = False
) -> Chart:
    """Lines over iterations or epochs; nothing to see gives an empty drawing."""
    lines = [line for line in lines if len(line.steps)]
    if not lines:
        return Chart(title, Markup(''))
    figure, axes = new_chart()
    few = max(len(line.steps) for line in lines) <= 30
    for line in lines:
        marker = 'o' if few else ''
        axes.plot(
            line.steps,
            line.values,
            marker=marker,
            color=line.colour,
            label=line.label.replace('$', r'\$'),  # no formula
            gid=f'line-{line.label}',
            linewidth=1.2,
            markersize=2.5,
        )
    _scale_axis(axes, [value for line in lines for value in line.values])
    finish(axes, unit)
    if legend:
        axes.legend(fontsize=_SMALL)
    return Chart(title, inline_svg(figure, f'{where}: {title}'))


def _first_line(run: Run, keys: Sequence[str], colour: str) -> Line:
    """The line of the first of these keys that a run has."""
    scalars = Scalars(thinned(run.scalars.train, MOST_POINTS), [])
    found = (scalars.series('train', key) for key in keys)
    steps, values = next((pair for pair in found if pair[0]), ([], []))
    return Line(run.name, steps, values, colour)


def _scale_axis(axes: Axes, values: Sequence[float]) -> None:
    """From 0 on, or logarithmic where the values are positive and differ by orders of magnitude."""
    finite = np.asarray([value for value in values if math.isfinite(value)])
    if not finite.size:
        return
    if finite.min() > 0 and finite.max() > _WIDE_RANGE * np.quantile(finite, 0.1):
        axes.set_yscale('log')
    elif finite.min() >= 0 and finite.max() > 0:
        axes.set_ylim(0, 1.06 * finite.max())


def finish(axes: Axes, unit: str) -> None:
    """Axis name, small ticks, grid."""
    axes.set_xlabel(unit, fontsize=_SMALL)
    if unit in ('epoch', 'iteration'):
        axes.xaxis.set_major_locator(MaxNLocator(_TICKS, integer=True, min_n_ticks=1))
    if axes.get_yscale() == 'linear':
        axes.yaxis.set_major_locator(MaxNLocator(_TICKS))
    axes.set_ylabel(axes.get_ylabel(), fontsize=_SMALL)
    axes.tick_params(labelsize=_SMALL)
    axes.grid(alpha=0.3)
    if axes.get_legend():
        axes.legend(fontsize=_SMALL)


def legend_of(run: Run) -> list[tuple[str, str]]:
    """(name, colour) of each pass of a run."""
    passes = passes_of(run.scalars.train)
    return [(pass_title(name), colour_at(i)) for i, name in enumerate(passes)]
