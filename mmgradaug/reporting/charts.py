"""The charts of a report: a picture of several small panels for each section and run."""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from matplotlib.figure import Figure

from ..engine.run_log import Scalars
from ..evaluation.widths import AP_NAMES
from ..visualization.canvas import colour_at, new_figure
from ..visualization.curves import Line, draw_lines
from .run import Run

FIRST_RUN = 4  # colour of the first run; the first passes have others


@dataclass(frozen=True)
class Panel:
    """A chart with a title, its lines over iterations or epochs."""

    title: str
    lines: list[Line]
    unit: str = 'iteration'
    from_zero: bool = True


def panels_figure(panels: Sequence[Panel], columns: int = 3) -> Figure:
    """Draw panels in a grid; the first has a legend, whose colours hold for all."""
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    entries = len(panels[0].lines) if len(panels[0].lines) > 1 else 0
    figure = new_figure(3.5 * columns, 2.4 * rows + 0.1 * (entries + 1))
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for index, (axes, panel) in enumerate(zip(grid, panels, strict=False)):
        lines = [replace(line, label='') for line in panel.lines] if index else panel.lines
        draw_lines(axes, lines, panel.title, panel.unit, panel.from_zero)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    return figure


def section_panels(run: Run) -> dict[str, list[Panel]]:
    """Return the panels of a run by the title of their section, in the page's order."""
    log = run.scalars
    validation = [Panel('average precision', precision_lines(log), log.unit, False)]
    if not validation[0].lines:  # of another evaluator than COCO's
        validation = [
            Panel(name, [Line(run.name, *series, colour_at(0))], log.unit, False)
            for name, series in run.metrics().items()
        ]
    losses = [Panel('loss by pass', loss_lines(log))] if log.train else []
    drawn = logged_panels(log, lambda name: name in ('width', 'depth', 'scale', 'turns'))
    dots = [replace(p, lines=[replace(line, thick=0) for line in p.lines]) for p in drawn]
    return {
        'Validation': validation,
        'Losses': losses + logged_panels(log, lambda name: 'loss' in name and name != 'loss'),
        'Agreement with the full network': logged_panels(log, lambda n: n.startswith('agree_')),
        # Turns, if there are any.
        'Widths and scales drawn': [p for p in dots if any(any(line.values) for line in p.lines)],
        'Time': logged_panels(log, lambda name: name in ('seconds', 'time', 'data_time')),
    }


def loss_lines(scalars: Scalars) -> list[Line]:
    """Return the sum of all losses, and each pass's own where there is more than one pass.

    The training step logs ``full/loss``, ``subnet1/loss`` and so on; a plain run logs ``loss``.
    """
    keys = dict.fromkeys(key for entry in scalars.train for key in entry if key.endswith('/loss'))
    total = 'sum of all passes' if keys else 'full network'
    lines = [Line(total, *scalars.series('train', 'loss'), 'black')]
    for index, key in enumerate(keys):
        lines.append(Line(pass_title(key), *scalars.series('train', key), colour_at(index)))
    return lines


def pass_title(key: str) -> str:
    """Return the pass of a logged key, such as ``subnet1/loss``, in words."""
    name = key.split('/')[0]
    return name.replace('subnet', 'sub-network ') if name.startswith('subnet') else 'full network'


def precision_lines(scalars: Scalars) -> list[Line]:
    """Return the average precisions (IoU 0.50 to 0.95) of all validations."""
    lines = []
    for index, (suffix, label) in enumerate(AP_NAMES.items()):
        if key := scalars.metric_key(suffix):
            steps, values = scalars.series('val', key)
            lines.append(Line(f'{label}, last {values[-1]:.3f}', steps, values, colour_at(index)))
    return lines


def comparison_panels(runs: Sequence[Run]) -> list[Panel]:
    """Return what can be compared: metrics, the full network's loss, time of an iteration."""
    names = dict.fromkeys(name for run in runs for name in run.metrics())
    ap = [name for name in names if name.split('/')[-1] in AP_NAMES]
    colours = {run.name: colour_at(FIRST_RUN + index) for index, run in enumerate(runs)}
    panels = []
    for name in ap or names:
        having = [run for run in runs if name in run.metrics()]
        lines = [Line(run.name, *run.metrics()[name], colours[run.name]) for run in having]
        panels.append(Panel(name, lines, having[0].scalars.unit, False))
    compared = {"full network's loss": ('full/loss', 'loss'), 'seconds per iteration': ('time',)}
    for title, keys in compared.items():
        lines = []
        for run in runs:
            found = (run.scalars.series('train', key) for key in keys)
            pair = next((pair for pair in found if pair[0]), ([], []))
            lines.append(Line(run.name, *pair, colours[run.name]))
        panels.append(Panel(title, lines))
    return panels


def logged_panels(scalars: Scalars, wanted: Callable[[str], bool]) -> list[Panel]:
    """Return a panel for each wanted name of logged values, with a line for each pass.

    The full network's loss and a sub-network's, from its outputs (``_soft``) or from labels
    (``_hard``), are the same term. A value without a pass, such as ``time``, is drawn as the full
    network's.
    """
    logged = dict.fromkeys(key for entry in scalars.train for key in entry)
    keys = [key for key in logged if wanted(key.rpartition('/')[2])]
    passes = sorted({'full', *(key.rpartition('/')[0] or 'full' for key in keys)})
    lines: dict[str, list[Line]] = defaultdict(list)
    for key in keys:
        owner, _, name = key.rpartition('/')
        term, target = re.fullmatch('(.*?)(_soft|_hard)?', name).groups('')  # type: ignore
        term = re.sub('loss_(roi|dense)_', 'loss_', term)  # as mmdet's heads call it
        label = pass_title(key) + target.replace('_', ', ')
        colour = colour_at(passes.index(owner or 'full'))
        series = scalars.series('train', key)
        lines[term].append(Line(label, *series, colour, dashed=target == '_soft'))
    return [Panel(term, own) for term, own in lines.items()]
