"""One training, finished or running, read from its work dir."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from ..engine.run_log import NOT_METRICS, Scalars, by_iteration, read_entries
from ..errors import ConfigError
from ..publishing.config_text import config_from_text


@dataclass(frozen=True)
class Run:
    """A training."""

    path: Path  # its work dir
    name: str  # what the report calls it, unique there
    scalars: Scalars  # its log, of all its starts
    last_written: datetime  # when that log grew last
    config_text: str  # as the newest start dumped it, resolved; empty if there is none
    notes: list[str]  # what a reader has to know about the log

    @cached_property
    def config(self) -> dict[str, Any]:
        """The config, read as data; nothing in it is executed."""
        return config_from_text(self.config_text).to_dict() if self.config_text else {}

    @property
    def versions(self) -> str:
        """The versions of packages that the newest start logged; empty if it did not."""
        logs = sorted(self.path.glob('*/*.log'))
        found = [re.findall('Versions: (.*)', log.read_text(errors='replace')) for log in logs]
        return ([''] + [versions for start in found for versions in start])[-1]

    def progress(self) -> str:
        """Return how far the run has come, of how much."""
        options = self.config.get('train_cfg') or {}
        before, last = [{'step': 0}, {'step': 0}, *self.scalars.train][-2:]
        step = int(last['step'])
        pointer = self.path / 'last_checkpoint'
        saved = pointer.read_text().strip() if pointer.is_file() else ''
        if 'max_epochs' in options:
            total, done = options['max_epochs'], int(last.get('epoch', 0))
            ended = done == total and saved.endswith(f'epoch_{total}.pth')
            text = f'epoch {done} of {total}' + f', iteration {step}' * (not ended)
        else:
            total = options.get('max_iters', '?')
            # A checkpoint beyond the next entry is of a run before, which this one began anew.
            ended = saved.endswith(f'iter_{total}.pth')
            ended = ended and total < 2 * step - before['step']
            text = f'iteration {step} of {total}'
        return f'finished: {text}' if ended else text

    def metrics(self) -> dict[str, tuple[list[float], list[float]]]:
        """Return steps and values of each metric, but COCO's -1 where nothing is to measure."""
        found = {}
        for name in dict.fromkeys(key for entry in self.scalars.val for key in entry):
            series = self.scalars.series('val', name)
            if name not in NOT_METRICS and any(value != -1 for value in series[1]):
                found[name] = series
        return found


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """Read several work dirs and name them by their paths, as far as these differ."""
    resolved = [path.resolve() for path in paths]
    shared = os.path.commonpath([path.parent for path in resolved])
    return [read_run(path, str(path.relative_to(shared))) for path in resolved]


def read_run(path: Path, name: str = '') -> Run:
    """Read a work dir; nothing in it is executed or changed. Its default name is the folder's.

    Raises:
        ConfigError: It is no work dir of a training.
    """
    logs = sorted(path.glob('*/vis_data/scalars.json'))
    configs = sorted(path.glob('*/vis_data/config.py'))
    if not logs and not configs:
        raise ConfigError(
            f'{path}: expected the work dir of a training, in which mmengine writes '
            'TIMESTAMP/vis_data/scalars.json'
        )
    starts = {log.parents[1].name: read_entries(log) for log in logs}
    starts = {start: entries for start, entries in starts.items() if entries}
    scalars, notes = merge(starts)
    # Of a start that ended before its first entry, such as one with a wrong option, last of all.
    configs.sort(key=lambda config: (config.parents[1].name in starts, config))
    return Run(
        path,
        name or path.resolve().name,
        scalars,
        datetime.fromtimestamp((logs or configs)[-1].stat().st_mtime),
        configs[-1].read_text() if configs else '',
        notes,
    )


def merge(starts: dict[str, list[dict[str, Any]]]) -> tuple[Scalars, list[str]]:
    """Return one log of several starts, and notes on how each went on from those before it.

    A resumed run goes on in a new folder, from its last checkpoint. What an earlier start logged
    beyond that was done again, and is dropped; all of it if a run was started anew. ``starts`` are
    entries of the log by name of the start, the oldest first.
    """
    every = Scalars.of([entry for entries in starts.values() for entry in entries])
    # Of a run by iteration mmengine may name epochs, too, but no validation after one.
    by_epoch = every.unit == 'epoch' and all(entry['step'] for entry in every.val)
    merged, notes = Scalars([], []), []
    for name, entries in starts.items():
        if not by_epoch:
            entries = by_iteration(entries, merged.train[-1]['step'] if merged.train else 0)
        new = Scalars.of(entries)
        first = new.train[0] if new.train else {'step': float('inf')}
        # A validation that was still due comes before the first iteration.
        again = {entry['step'] for entry in new.val}
        train = [e for e in merged.train if e['step'] < first['step']]
        done = first.get('epoch', first['step'])
        val = [e for e in merged.val if e['step'] < done and e['step'] not in again]
        if merged.train:
            lost = len(merged.train) - len(train)
            how = 'resumed' if train else 'began anew'
            step = int(train[-1]['step']) if train else 0
            notes.append(f'{name} {how}; log entries dropped after iteration {step}: {lost}')
        merged = Scalars([*train, *new.train], [*val, *new.val])
    return merged, notes or ([] if starts else ['nothing is logged yet'])
