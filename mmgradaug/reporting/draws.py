"""Charts of what sub-networks were drawn: their widths and depths, scales and turns."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from ..visualization.canvas import COLOURS
from .charts import MOST_POINTS, Chart, colour_at, finish, new_chart
from .log_keys import names_of, pass_title, passes_of
from .run import Run
from .svg import inline_svg

_MOST_BARS = 12
_TURN = 90


def draw_charts(run: Run) -> list[Chart]:
    """Which widths, depths, scales and turns sub-networks had; widths over the run too."""
    names = names_of(run.scalars.train, 'draw')
    charts = []
    if 'width' in names:
        charts += [_widths_over_time(run, names['width']), _widths(run, names['width'])]
    for name in ('depth', 'scale'):
        if name in names:
            charts.append(_bars(run, name, [round(v, 2) for v in _values(run, names[name])]))
    turns = [_TURN * int(v) for v in _values(run, names.get('turns', {}))]
    if any(turns):
        charts.append(_bars(run, 'turned by degrees', turns))
    return charts


def _values(run: Run, keys: dict[str, str]) -> list[float]:
    """All finite values of a name, of every pass."""
    found = (v for key in keys.values() for v in run.scalars.series('train', key)[1])
    return [value for value in found if math.isfinite(value)]


def _widths_over_time(run: Run, keys: dict[str, str]) -> Chart:
    """A dot for each width drawn."""
    passes = passes_of(run.scalars.train)
    figure, axes = new_chart()
    for owner, key in keys.items():
        steps, values = run.scalars.series('train', key)
        every = math.ceil(len(steps) / MOST_POINTS)
        axes.plot(
            steps[::every],
            values[::every],
            'o',
            markersize=2.5,
            color=colour_at(passes.index(owner)),
            gid=f'line-{pass_title(owner)}',
        )
    finish(axes, 'iteration')
    axes.set_ylabel('width')
    return Chart('widths drawn', inline_svg(figure, f'{run.name}: widths drawn'))


def _widths(run: Run, keys: dict[str, str]) -> Chart:
    """How often each width was drawn, for all sub-networks together, stacked by sub-network."""
    passes = passes_of(run.scalars.train)
    values = [_values(run, {owner: key}) for owner, key in keys.items()]
    figure, axes = new_chart()
    axes.hist(
        values,
        bins=20,
        stacked=True,
        color=[colour_at(passes.index(owner)) for owner in keys],
    )
    finish(axes, 'width')
    axes.set_ylabel('times')
    return Chart('how often each width', inline_svg(figure, f'{run.name}: how often each width'))


def _bars(run: Run, name: str, values: Sequence[float]) -> Chart:
    """How often each value was drawn; in bins if there are many."""
    counts = sorted(Counter(values).items())
    figure, axes = new_chart()
    if len(counts) <= _MOST_BARS:
        bars = axes.bar([f'{v:g}' for v, _ in counts], [n for _, n in counts], color=COLOURS[0])
        axes.bar_label(bars, fmt='%d×', fontsize=8)
        axes.margins(y=0.12)
    else:
        axes.hist(values, bins=20, color=COLOURS[0])
    finish(axes, name)
    axes.set_ylabel('times')
    title = f'how often each {name}' if name in ('depth', 'scale') else name
    return Chart(title, inline_svg(figure, f'{run.name}: {title}'))
