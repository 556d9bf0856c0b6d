"""Loss and average precision over a run, from the log that mmengine writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from ..engine.run_log import Scalars
from ..evaluation.widths import AP_NAMES
from .canvas import COLOURS, new_figure, save_figure


def save_curves(scalars: Scalars, path: Path | str, title: str = '') -> Path:
    """Draw losses over iterations and average precision over epochs.

    Args:
        scalars: The run's log.
        path: The PNG file to write.
        title: Title of the whole picture.

    Returns:
        The file's path.

    Raises:
        ValueError: The log has no training entry.
    """
    if not scalars.train:
        raise ValueError("no entry with a 'loss' in the log: nothing was trained, nothing to draw")
    figure = new_figure(10.5, 4.6)
    left, right = figure.subplots(1, 2)
    draw_losses(left, scalars)
    draw_precision(right, scalars)
    figure.suptitle(title, fontsize=11)
    return save_figure(figure, path)


def pass_losses(train: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The logged keys of the single passes' losses by what to call them, in the order of the log.

    The training step logs ``full/loss``, ``subnet1/loss`` and so on; a plain run logs none.
    """
    keys = dict.fromkeys(key for entry in train for key in entry if key.endswith('/loss'))
    return {key.removesuffix('/loss').replace('subnet', 'sub-network '): key for key in keys}


def draw_losses(axes: Axes, scalars: Scalars) -> None:
    """The sum of all losses, and each pass's own where there is more than one pass."""
    passes = pass_losses(scalars.train)
    label = 'sum of all passes' if passes else 'full network'
    axes.plot(*scalars.series('train', 'loss'), color='black', linewidth=1.6, label=label)
    for index, (name, key) in enumerate(passes.items()):
        name = 'full network' if name == 'full' else name
        colour = COLOURS[index % len(COLOURS)]
        axes.plot(*scalars.series('train', key), color=colour, linewidth=1.1, label=name)
    axes.set_title('training loss', fontsize=10)
    axes.set_xlabel('iteration')
    axes.set_ylabel('loss')
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def draw_precision(axes: Axes, scalars: Scalars) -> None:
    """Average precision (IoU 0.50 to 0.95) of every validation."""
    for index, (suffix, label) in enumerate(AP_NAMES.items()):
        key = scalars.metric_key(suffix)
        if key is not None:
            steps, values = scalars.series('val', key)
            label = f'{label}, last {values[-1]:.3f}'
            axes.plot(steps, values, 'o-', color=COLOURS[index], markersize=4, label=label)
    axes.set_title('validation, full network', fontsize=10)
    axes.set_xlabel('epoch' if scalars.by_epoch or not scalars.train else 'iteration')
    axes.set_ylabel('AP (IoU 0.50:0.95)')
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(fontsize=8, loc='upper left')
    else:
        axes.text(0.5, 0.5, 'no validation yet', ha='center', transform=axes.transAxes)
