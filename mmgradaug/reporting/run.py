"""One training, read from its work dir."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..engine.run_log import NOT_METRICS, Scalars
from ..publishing.config_text import config_from_text
from .log_folders import LogFolder, find_log_folders, merge

_CHECKPOINT = re.compile(r'(epoch|iter)_(\d+)\.pth')


@dataclass(frozen=True)
class Run:
    """A finished or running training.

    Attributes:
        path: Its work dir.
        name: What the report calls it, unique there.
        scalars: Its log, of all its starts.
        folders: Those starts, oldest first.
        config: As it was dumped, resolved; empty if there is none that can be read.
        config_text: The same as text.
        notes: What a reader has to know about the log.
    """

    path: Path
    name: str
    scalars: Scalars
    folders: list[LogFolder]
    config: dict[str, Any] = field(default_factory=dict)
    config_text: str = ''
    notes: list[str] = field(default_factory=list)

    @property
    def newest(self) -> LogFolder:
        """The last start that logged something, or the last one of all."""
        return next((f for f in reversed(self.folders) if f.entries), self.folders[-1])

    @property
    def iteration(self) -> int:
        """Iterations done, as far as they are logged."""
        return int(self.scalars.train[-1]['step']) if self.scalars.train else 0

    @property
    def checkpoint(self) -> Path | None:
        """The last checkpoint, if it is still there."""
        pointer = self.path / 'last_checkpoint'
        if not pointer.is_file():
            return None
        written = Path(pointer.read_text(encoding='utf-8', errors='replace').strip())
        # Folders are moved, to another machine for instance: the file beside the pointer counts.
        candidates = (self.path / written.name, written)
        return next((path for path in candidates if path.is_file()), None)

    @property
    def last_written(self) -> datetime:
        """When the newest log grew last."""
        files = [p for p in self.newest.path.rglob('*') if p.suffix in ('.log', '.json')]
        return datetime.fromtimestamp(max((p.stat().st_mtime for p in files), default=0))

    @property
    def seconds(self) -> float:
        """Of all starts that logged something."""
        return sum(folder.text.seconds for folder in self.folders if folder.entries)

    def progress(self) -> str:
        """How far it has come, of how much."""
        options = self.config.get('train_cfg') or {}
        unit = 'epochs' if 'max_epochs' in options else 'iterations'
        total = options.get('max_epochs') or options.get('max_iters')
        done = self._epochs_done() if unit == 'epochs' else self._iterations_done()
        if not isinstance(total, int):
            return f'{self.iteration} iterations'
        if done >= total:
            return f'finished: {total} {unit}'
        if unit == 'epochs':
            return f'{done} of {total} epochs done, iteration {self.iteration}'
        return f'{done} of {total} iterations'

    def metrics(self) -> dict[str, list[tuple[float, float]]]:
        """(step, value) of each validation by metric; one that was always -1 measured nothing."""
        names = dict.fromkeys(key for entry in self.scalars.val for key in entry)
        found = {}
        for name in names:
            pairs = list(zip(*self.scalars.series('val', name), strict=True))
            if name not in NOT_METRICS and any(value != -1 for _, value in pairs):
                found[name] = pairs
        return found

    def _epochs_done(self) -> int:
        """Whole epochs: those before the last one logged, and that one if it has come to its end.

        Its validation or its checkpoint says so. A checkpoint far from the log is another run's.
        """
        begun = int(self.scalars.train[-1].get('epoch', 1)) if self.scalars.train else 1
        validated = int(self.scalars.val[-1]['step']) if self.scalars.val else 0
        return begun if begun in (validated, self._saved('epoch')) else begun - 1

    def _iterations_done(self) -> int:
        """Iterations logged, and those of a last checkpoint before the next entry is due."""
        steps = [0.0, *(entry['step'] for entry in self.scalars.train)]
        saved = self._saved('iter')
        due = 2 * steps[-1] - steps[-2] if len(steps) > 1 else 0
        return saved if steps[-1] < saved < due else int(steps[-1])

    def _saved(self, unit: str) -> int:
        """Epochs or iterations of the last checkpoint."""
        pointer = self.path / 'last_checkpoint'
        text = pointer.read_text(errors='replace') if pointer.is_file() else ''
        match = _CHECKPOINT.search(text)
        return int(match[2]) if match and match[1] == unit else 0


def read_run(path: Path, name: str = '') -> Run:
    """Read a work dir; nothing in it is executed or changed.

    Args:
        path: The work dir, or one log folder in it.
        name: What to call it; its folder's name by default.

    Raises:
        OSError: There is no such folder, or no log in it.
        ValueError: Nothing in the log can be read.
    """
    folders = find_log_folders(path)
    notes = _notes(folders)
    run = Run(path, name or path.resolve().name, merge(folders), folders, notes=notes)
    text = _config_text(run)
    if not text:
        return run
    try:
        config = config_from_text(text).to_dict()
    except (ValueError, RecursionError) as error:
        notes.append(f'its config cannot be read: {error}')
        config = {}
    return replace(run, config=config, config_text=text)


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """Read several work dirs and give them names that tell them apart.

    Raises:
        OSError: As :func:`read_run`.
        ValueError: As :func:`read_run`, or if a folder is given twice.
    """
    resolved = [path.resolve() for path in paths]
    twice = next((path for path in paths if resolved.count(path.resolve()) > 1), None)
    if twice is not None:
        raise ValueError(f'{twice} is given twice, expected different work dirs')
    length = 1
    while len({path.parts[-length:] for path in resolved}) < len(resolved):
        length += 1
    names = ('/'.join(path.parts[-length:]) for path in resolved)
    return [read_run(path, name) for path, name in zip(paths, names, strict=True)]


def _config_text(run: Run) -> str:
    """The config that the newest start dumped, or else the newest one in the work dir."""
    dumped = run.newest.path / 'vis_data/config.py'
    others = sorted(run.path.glob('*.py'), key=lambda path: path.stat().st_mtime, reverse=True)
    found = next((path for path in (dumped, *others) if path.is_file()), None)
    return found.read_text(encoding='utf-8', errors='replace') if found else ''


def _notes(folders: Sequence[LogFolder]) -> list[str]:
    """What is special about the log."""
    logging = [folder for folder in folders if folder.entries]
    if not logging:
        return ['nothing is logged yet: mmengine writes every default_hooks.logger.interval steps']
    notes = []
    for before, folder in pairwise(logging):
        notes.append(_start_note(folder, before))
    if not folders[-1].entries:
        notes.append(f'{folders[-1].path.name} has logged nothing yet, or is of a test')
    for folder in logging:
        if folder.damaged:
            lines = 'a line' if folder.damaged == 1 else f'{folder.damaged} lines'
            notes.append(f'{lines} of the log of {folder.path.name} cannot be read and left out')
    return notes


def _start_note(folder: LogFolder, before: LogFolder) -> str:
    """How a start that was not the first relates to the one before it."""
    name, start = folder.path.name, int(folder.start[1])
    if not start:
        return f'{name} started anew: what was logged before it is left out'
    lost = int(before.reached) - start
    again = f'; {lost} iterations done before were done again' if lost > 0 else ''
    return f'{name} resumed after iteration {start}{again}'


def model_name(config: Mapping[str, Any]) -> str:
    """What is trained, in words."""
    model = config.get('model') or {}
    kind = model.get('type', 'unknown')
    return f'{model["detector"]} with GradAug' if 'detector' in model else str(kind)
