"""The log of scalars that mmengine writes of a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NOT_METRICS = ('step', 'time', 'data_time', 'iter', 'epoch')  # in the entry of a validation


@dataclass(frozen=True)
class Scalars:
    """A run's log."""

    train: list[dict[str, Any]]  # of iterations, with `step` (iterations so far) and `loss`
    val: list[dict[str, Any]]  # with `step` (epochs so far, or iterations) and the metrics

    @classmethod
    def of(cls, entries: Sequence[dict[str, Any]]) -> Scalars:
        """Sort the entries of a log: those of training iterations have a ``loss``."""
        return cls([e for e in entries if 'loss' in e], [e for e in entries if 'loss' not in e])

    @property
    def unit(self) -> str:
        """Return what ``step`` of a validation counts: ``epoch`` or ``iteration``."""
        return 'epoch' if any('epoch' in entry for entry in self.train) else 'iteration'

    def series(self, part: str, key: str) -> tuple[list[float], list[float]]:
        """Return steps and values of one key in the order of the log; ``part`` is train or val."""
        entries = [e for e in getattr(self, part) if key in e]
        return [float(e['step']) for e in entries], [float(e[key]) for e in entries]

    def last(self, suffix: str) -> float | None:
        """Return the last validation's value of the metric whose name ends in ``suffix``."""
        key = self.metric_key(suffix)
        return None if key is None else self.series('val', key)[1][-1]

    def metric_key(self, suffix: str) -> str | None:
        """Return the full name of a metric, such as ``coco/bbox_mAP`` for ``bbox_mAP``."""
        names = {key for entry in self.val for key in entry}
        return next((n for n in sorted(names) if n.split('/')[-1] == suffix), None)


def by_iteration(entries: Sequence[dict[str, Any]], start: float) -> list[dict[str, Any]]:
    """Return the entries of a log by iteration, validations at the iteration they came after.

    mmengine logs epochs with validations even in runs that do not count any, whose step then is
    0 (unless ``log_metric_by_epoch=False``). ``start`` iterations were done before the first.
    """
    last, moved = float(start), []
    for entry in entries:
        last = entry['step'] if 'loss' in entry else max(entry['step'], last)
        own = {key: value for key, value in entry.items() if key != 'epoch'}
        moved.append({**own, 'step': last})
    return moved


def read_entries(path: Path | str) -> list[dict[str, Any]]:
    """Return the JSON objects of a log, one per line, in their order.

    A line that a killed run left half written is left out, as is one that is being written.
    """
    entries = []
    for line in Path(path).read_text(encoding='utf-8', errors='replace').splitlines():
        with suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict):
                entries.append(entry)
    return entries
