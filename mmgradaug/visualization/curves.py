"""Charts of lines."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation


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
