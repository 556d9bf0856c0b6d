"""Loss and average precision over a run, from the log that mmengine writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from ..evaluation.widths import AP_NAMES
from .canvas import COLOURS, new_figure, save_figure


@dataclass(frozen=True)
class Scalars:
    """A run's log.

    Attributes:
        train: Entries of training iterations, with ``step`` (iterations so far) and ``loss``.
        val: Entries of validations, with ``step`` (epochs so far, or iterations) and the metrics.
    """

    train: list[dict[str, Any]]
    val: list[dict[str, Any]]

    @classmethod
    def of(cls, entries: Sequence[dict[str, Any]]) -> Scalars:
        """Sort the entries of a log: those of training iterations have a ``loss``."""
        return cls([e for e in entries if 'loss' in e], [e for e in entries if 'loss' not in e])

    @property
    def by_epoch(self) -> bool:
        """Whether the run counts epochs; ``step`` of a validation is an iteration otherwise."""
        return any('epoch' in entry for entry in self.train)

    def series(self, part: str, key: str) -> tuple[list[float], list[float]]:
        """Steps and values of one key, in the order of the log; ``part`` is train or val."""
        entries = [e for e in getattr(self, part) if key in e]
        return [float(e['step']) for e in entries], [float(e[key]) for e in entries]

    def last(self, suffix: str) -> float | None:
        """The last validation's value of the metric whose name ends in ``suffix``."""
        key = self.metric_key(suffix)
        return None if key is None else self.series('val', key)[1][-1]

    def metric_key(self, suffix: str) -> str | None:
        """The full name of a metric, such as ``coco/bbox_mAP`` for ``bbox_mAP``."""
        names = {key for entry in self.val for key in entry}
        return next((n for n in sorted(names) if n.split('/')[-1] == suffix), None)


def read_scalars(path: Path | str) -> Scalars:
    """Read ``vis_data/scalars.json`` of a run: one JSON object a line.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A line is not a JSON object; the message names the line.
    """
    entries, damaged = read_entries(path)
    if damaged:
        number, line = next(iter(damaged.items()))
        raise ValueError(
            f'{path}, line {number}: expected a JSON object, got {line[:60]!r}; '
            'a run that was killed while it wrote leaves such a line: delete it'
        )
    return Scalars.of(entries)


def read_entries(path: Path | str) -> tuple[list[dict[str, Any]], dict[int, str]]:
    """The JSON objects of a log in their order, and what is none, by number of its line.

    Raises:
        FileNotFoundError: There is no such file.
    """
    entries: list[dict[str, Any]] = []
    damaged: dict[int, str] = {}
    text = Path(path).read_text(encoding='utf-8', errors='replace')
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if isinstance(entry, dict):
            entries.append(entry)
        else:
            damaged[number] = line
    return entries, damaged


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
