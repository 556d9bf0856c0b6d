"""Losses and metrics over a run, from the log that mmengine writes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from ..engine.run_log import Scalars
from ..evaluation.widths import AP_NAMES
from .canvas import colour_at


@dataclass(frozen=True)
class Line:
    """A line of a chart; lines without a label are not in its legend."""

    label: str
    steps: Sequence[float]
    values: Sequence[float]
    colour: str
    thick: float = 1.3  # points; 0 draws dots
    dashed: bool = False


def draw_lines(
    axes: Axes, lines: Sequence[Line], title: str, xlabel: str, from_zero: bool = True
) -> None:
    """Draw lines, with a legend below if there are several; few points get markers."""
    for line in lines:
        axes.plot(
            line.steps,
            line.values,
            label=line.label.replace('$', r'\$') or None,  # no formula
            color=line.colour,
            linewidth=line.thick,
            linestyle='--' if line.dashed else '-',
            marker='o' if not line.thick or len(line.steps) <= 20 else None,
            markersize=3,
        )
    axes.set_title(title.replace('$', r'\$'), fontsize=10)
    axes.set_xlabel(xlabel, fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)
    values = [value for line in lines for value in line.values if math.isfinite(value)]
    if values and min(values) >= 0:
        low, high = (0 if from_zero else min(values)), max(values) or 1
        margin = 0.08 * (high - low or high)
        axes.set_ylim(max(0, low - margin), high + margin)
    if sum(bool(line.label) for line in lines) > 1:
        below = ScaledTranslation(0, -0.42, axes.figure.dpi_scale_trans)  # the axis's own labels
        where = dict(bbox_to_anchor=(0.5, 0), bbox_transform=axes.transAxes + below)
        axes.legend(fontsize=8, loc='upper center', ncols=2, **where)


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
        key = scalars.metric_key(suffix)
        if key is not None:
            steps, values = scalars.series('val', key)
            lines.append(Line(f'{label}, last {values[-1]:.3f}', steps, values, colour_at(index)))
    return lines
