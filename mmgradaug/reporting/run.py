"""One training, finished or running, read from its work dir."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from ..engine.run_log import NOT_METRICS, Scalars, placed, read_entries
from ..errors import ConfigError, path_suggestion
from ..publishing.config_text import config_from_text

_CHECKPOINT = re.compile(r'(epoch|iter)_(\d+)\.pth')


@dataclass(frozen=True)
class Run:
    """A training.

    Attributes:
        path: Its work dir.
        name: What the report calls it, unique there.
        scalars: Its log, of all its starts.
        last_written: When that log grew last.
        config_text: The config as the newest start dumped it, resolved; empty if there is none.
        notes: What a reader has to know about the log.
    """

    path: Path
    name: str
    scalars: Scalars
    last_written: datetime
    config_text: str = ''
    notes: list[str] = field(default_factory=list)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The config, read as data; nothing in it is executed."""
        return config_from_text(self.config_text).to_dict() if self.config_text else {}

    @property
    def unit(self) -> str:
        """Return what the steps of validations count: ``epoch`` or ``iteration``."""
        return 'epoch' if self.scalars.by_epoch else 'iteration'

    @property
    def checkpoint(self) -> Path | None:
        """The last checkpoint, if it is still there."""
        pointer = self.path / 'last_checkpoint'
        if not pointer.is_file():
            return None
        written = Path(pointer.read_text().strip())
        # Folders are moved, to another machine for instance: the file beside the pointer counts.
        return next((p for p in (self.path / written.name, written) if p.is_file()), None)

    def progress(self) -> str:
        """Return how far the run has come, of how much."""
        options = self.config.get('train_cfg') or {}
        steps = [0, *(int(entry['step']) for entry in self.scalars.train)]
        if 'max_epochs' in options:
            unit, total, done = 'epochs', options['max_epochs'], self._epochs_done()
        else:
            unit, total, done = 'iterations', options.get('max_iters'), steps[-1]
            saved = self._saved('iter')
            if len(steps) > 1 and saved < 2 * steps[-1] - steps[-2]:  # before the next entry
                done = max(done, saved)
        if total is None:
            return f'{steps[-1]} iterations'
        if done >= total:
            return f'finished: {total} {unit}'
        return f'{done} of {total} {unit} done, iteration {steps[-1]}'

    def metrics(self) -> dict[str, tuple[list[float], list[float]]]:
        """Return steps and values of each metric, but those that are always -1.

        That is what COCO's evaluator gives where there is nothing to measure.
        """
        found = {}
        for name in dict.fromkeys(key for entry in self.scalars.val for key in entry):
            series = self.scalars.series('val', name)
            if name not in NOT_METRICS and any(value != -1 for value in series[1]):
                found[name] = series
        return found

    def _epochs_done(self) -> int:
        """Return the last epoch logged if its validation or checkpoint is there, or those before.

        A checkpoint of a later epoch is another run's, in whose work dir this one started anew.
        """
        begun = int(self.scalars.train[-1].get('epoch', 1)) if self.scalars.train else 1
        validated = int(self.scalars.val[-1]['step']) if self.scalars.val else 0
        return begun if begun in (validated, self._saved('epoch')) else begun - 1

    def _saved(self, unit: str) -> int:
        """Return the epochs or iterations of the last checkpoint."""
        pointer = self.path / 'last_checkpoint'
        match = _CHECKPOINT.search(pointer.read_text()) if pointer.is_file() else None
        return int(match[2]) if match and match[1] == unit else 0


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """Read several work dirs and give them names that tell them apart.

    Raises:
        ConfigError: As :func:`read_run`, or a folder is given twice.
    """
    resolved = [path.resolve() for path in paths]
    if len(set(resolved)) < len(resolved):
        raise ConfigError(f'{" ".join(map(str, paths))}: a work dir is given twice')
    length = 1
    while len({path.parts[-length:] for path in resolved}) < len(resolved):
        length += 1
    names = ('/'.join(path.parts[-length:]) for path in resolved)
    return [read_run(path, name) for path, name in zip(paths, names, strict=True)]


def read_run(path: Path, name: str = '') -> Run:
    """Read a work dir; nothing in it is executed or changed.

    Args:
        path: The work dir, with a folder ``TIMESTAMP/vis_data`` of each start of the run.
        name: What to call it; its folder's name by default.

    Raises:
        ConfigError: It is no work dir of a training.
    """
    folders = sorted(path.glob('*/vis_data'))
    if not folders:
        inside = next((log.parents[1] for log in sorted(path.glob('*/*/vis_data'))), None)
        hint = f' (did you mean {inside}?)' if inside else path_suggestion(path)
        raise ConfigError(
            f'{path}: expected the work dir of a training, in which mmengine writes '
            f'TIMESTAMP/vis_data/scalars.json{hint}'
        )
    logs = [log for log in (folder / 'scalars.json' for folder in folders) if log.is_file()]
    starts = {log.parents[1].name: read_entries(log) for log in logs}
    starts = {start: entries for start, entries in starts.items() if entries}
    scalars, notes = merge(starts)
    configs = [folder / 'config.py' for folder in folders if (folder / 'config.py').is_file()]
    return Run(
        path,
        name or path.resolve().name,
        scalars,
        datetime.fromtimestamp((logs or folders)[-1].stat().st_mtime),
        configs[-1].read_text() if configs else '',
        notes,
    )


def merge(starts: dict[str, list[dict[str, Any]]]) -> tuple[Scalars, list[str]]:
    """Return one log of several starts, and notes on how each went on from those before it.

    A resumed run goes on in a new folder, from its last checkpoint. What an earlier start logged
    beyond that was done again, and is dropped; all of it if a run was started anew.

    Args:
        starts: Entries of the log by name of the start, the oldest first.
    """
    by_epoch = any('epoch' in e for entries in starts.values() for e in entries if 'loss' in e)
    merged, notes = Scalars([], []), []
    for name, entries in starts.items():
        if not by_epoch:
            entries = placed(entries, merged.train[-1]['step'] if merged.train else 0)
        new = Scalars.of(entries)
        first = new.train[0] if new.train else {'step': float('inf')}
        # A validation that was still due comes before the first iteration.
        again = {entry['step'] for entry in new.val}
        train = [e for e in merged.train if e['step'] < first['step']]
        done = first.get('epoch', first['step'])
        val = [e for e in merged.val if e['step'] < done and e['step'] not in again]
        if merged.train:
            lost = len(merged.train) - len(train)
            before = f'resumed after {int(train[-1]["step"])} iterations' if train else 'began anew'
            notes.append(f'{name} {before}; {lost} log entries before it were dropped')
        merged = Scalars([*train, *new.train], [*val, *new.val])
    return merged, notes or ([] if starts else ['nothing is logged yet'])
