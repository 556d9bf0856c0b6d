"""The charts of a report: a picture of several small panels for each section and run."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from matplotlib.figure import Figure

from ..engine.run_log import Scalars
from ..visualization.canvas import colour_at, new_figure
from ..visualization.curves import Line, draw_lines, loss_lines, pass_title, precision_lines
from .run import Run

_PASS = re.compile(r'(full|subnet\d+)/(.+)')
_DRAWN = ('width', 'depth', 'scale', 'turns')
_TIMES = ('seconds', 'time', 'data_time')
_RUNS_FROM = 4  # runs have other colours than the first passes


@dataclass(frozen=True)
class Panel:
    """A chart with a title, its lines over iterations or epochs."""

    title: str
    lines: list[Line]
    unit: str = 'iteration'


def run_colour(index: int) -> str:
    """Return the colour of a run by its place."""
    return colour_at(_RUNS_FROM + index)


def panels_figure(panels: Sequence[Panel], columns: int = 3) -> Figure:
    """Draw panels in a grid; the first has a legend, whose colours hold for all."""
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(3.5 * columns, 2.4 * rows)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for index, (axes, panel) in enumerate(zip(grid, panels, strict=False)):
        lines = [replace(line, label='') for line in panel.lines] if index else panel.lines
        draw_lines(axes, lines, panel.title, panel.unit)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    return figure


def loss_panels(run: Run) -> list[Panel]:
    """Return the loss of each pass, then every single loss with a line for each pass."""
    if not run.scalars.train:
        return []
    singles = _panels(run.scalars, lambda owner, name: 'loss' in name and name != 'loss')
    return [Panel('loss by pass', loss_lines(run.scalars)), *singles]


def agreement_panels(run: Run) -> list[Panel]:
    """Return how far sub-networks say what the full network says."""
    return _panels(run.scalars, lambda owner, name: name.startswith('agree_'))


def drawn_panels(run: Run) -> list[Panel]:
    """Return the widths, depths, scales and turns of sub-networks, a dot each."""
    panels = _panels(run.scalars, lambda owner, name: owner != 'full' and name in _DRAWN)
    dots = [replace(p, lines=[replace(line, thick=0) for line in p.lines]) for p in panels]
    return [p for p in dots if any(any(line.values) for line in p.lines)]  # turns, if there are any


def time_panels(run: Run) -> list[Panel]:
    """Return seconds of passes and whole iterations, and of these the wait for data."""
    return _panels(run.scalars, lambda owner, name: name in _TIMES)


def validation_panels(run: Run) -> list[Panel]:
    """Return box and mask AP over the run; every metric where it has neither."""
    lines = precision_lines(run.scalars)
    if lines:
        return [Panel('average precision', lines, run.unit)]
    return [
        Panel(name, [Line(run.name, *series, colour_at(0))], run.unit)
        for name, series in run.metrics().items()
    ]


def comparison_panels(runs: Sequence[Run]) -> list[Panel]:
    """Return what can be compared: metrics, the full network's loss, time of an iteration."""
    names = dict.fromkeys(name for run in runs for name in run.metrics())
    ap = [name for name in names if name.endswith('_mAP')]
    panels = []
    for name in ap or names:
        having = [(i, run) for i, run in enumerate(runs) if name in run.metrics()]
        lines = [Line(run.name, *run.metrics()[name], run_colour(i)) for i, run in having]
        panels.append(Panel(name, lines, having[0][1].unit))
    compared = {"full network's loss": ('full/loss', 'loss'), 'seconds an iteration': ('time',)}
    for title, keys in compared.items():
        lines = []
        for index, run in enumerate(runs):
            found = (run.scalars.series('train', key) for key in keys)
            pair = next((pair for pair in found if pair[0]), ([], []))
            lines.append(Line(run.name, *pair, run_colour(index)))
        panels.append(Panel(title, lines))
    return panels


def _panels(scalars: Scalars, wanted: Callable[[str, str], bool]) -> list[Panel]:
    """Return a panel for each wanted name of logged values, with a line for each pass.

    Args:
        scalars: The log. A value without a pass, such as ``time``, is the full network's.
        wanted: Whether to show a value, by its pass (``full``, ``subnet1``, ...) and name.
    """
    found: dict[str, dict[str, str]] = {}
    for key in dict.fromkeys(key for entry in scalars.train for key in entry):
        match = _PASS.fullmatch(key)
        owner, name = (match[1], match[2]) if match else ('full', key)
        if wanted(owner, name):
            found.setdefault(name, {})[owner] = key
    passes = sorted({'full', *(owner for keys in found.values() for owner in keys)})
    return [
        Panel(name, [
            Line(pass_title(owner), *scalars.series('train', key), colour_at(passes.index(owner)))
            for owner, key in keys.items()
        ])
        for name, keys in found.items()
    ]  # fmt: skip
