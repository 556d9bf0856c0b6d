"""The log of a training from all its starts: a resumed run goes on in a new folder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..engine.run_log import Scalars, placed, read_entries
from .text_log import TextLog, read_text_log


@dataclass(frozen=True)
class LogFolder:
    """What one start of a run logged, in ``WORK_DIR/TIMESTAMP``.

    Attributes:
        path: The folder.
        entries: Of its ``scalars.json``, in their order, with numbers only.
        text: Of its text log.
        damaged: Lines that could not be read; the last one of a run that is writing is not counted.
    """

    path: Path
    entries: list[dict[str, Any]] = field(default_factory=list)
    text: TextLog = field(default_factory=TextLog)
    damaged: int = 0

    @property
    def start(self) -> tuple[float, float]:
        """Epochs and iterations done before its first entry."""
        return self.text.resumed

    @property
    def reached(self) -> float:
        """The last iteration logged; the one it started from if it has logged none yet."""
        steps = [entry['step'] for entry in self.entries if 'loss' in entry]
        return steps[-1] if steps else self.start[1]


def find_log_folders(work_dir: Path) -> list[LogFolder]:
    """Read the log folders of a work dir, oldest first; tests leave folders without entries.

    Raises:
        FileNotFoundError: There is no such folder, or no log in it.
        NotADirectoryError: It is a file.
        ValueError: A log has lines, and none can be read.
    """
    if not work_dir.exists():
        raise FileNotFoundError(f'no folder {work_dir}: expected the work dir of a training')
    if not work_dir.is_dir():
        raise NotADirectoryError(f'{work_dir} is a file: expected the work dir of a training')
    candidates = [work_dir] if _is_log(work_dir) else sorted(filter(_is_log, work_dir.iterdir()))
    if not candidates:
        raise FileNotFoundError(_no_log(work_dir))
    return [_read(path) for path in candidates]


def merge(folders: Sequence[LogFolder]) -> Scalars:
    """One log from several, each resumed from a checkpoint of those before it.

    What an earlier start logged beyond that checkpoint was done again and is dropped. One that
    did not resume started anew, so all before it is dropped. Folders without entries do not count.
    """
    logging = [folder for folder in folders if folder.entries]
    by_epoch = any('epoch' in e for folder in logging for e in folder.entries if 'loss' in e)
    merged = Scalars([], [])
    for folder in logging:
        scalars = Scalars.of(
            folder.entries if by_epoch else placed(folder.entries, folder.start[1])
        )
        epochs, iterations = folder.start
        done = epochs if by_epoch else iterations
        again = {entry['step'] for entry in scalars.val}  # a validation that was still due
        merged = Scalars(
            [e for e in merged.train if e['step'] <= iterations] + scalars.train,
            [e for e in merged.val if e['step'] <= done and e['step'] not in again] + scalars.val,
        )
    return merged


def _is_log(path: Path) -> bool:
    """Whether a folder is one that a runner made for a start of a run."""
    return (path / 'vis_data').is_dir() or (path / f'{path.name}.log').is_file()


def _read(path: Path) -> LogFolder:
    """Read a log folder."""
    text_path = path / f'{path.name}.log'
    text = read_text_log(text_path) if text_path.is_file() else None
    scalars_path = _scalars_path(path)
    if scalars_path is None:
        return LogFolder(path, text=text or TextLog())
    entries, damaged = read_entries(scalars_path)
    numbers = [_numbers(entry) for entry in entries]
    usable = [entry for entry in numbers if 'step' in entry]
    last = len(entries) + len(damaged)
    if last in damaged and not scalars_path.read_bytes().endswith(b'\n'):
        del damaged[last]  # a run is writing it, or was killed while it did
    lost = len(damaged) + len(entries) - len(usable)
    if lost and not usable:
        raise ValueError(
            f'{scalars_path}: expected a JSON object with a step in each line, as mmengine logs '
            f'them, found none in {lost} lines'
        )
    return LogFolder(path, usable, text or TextLog(resumed=_guessed_start(usable)), lost)


def _scalars_path(folder: Path) -> Path | None:
    """The log of scalars; mmengine writes it twice, so either file may be gone."""
    named = folder / 'vis_data/scalars.json'
    others = sorted((folder / 'vis_data').glob('*.json'))
    return named if named.is_file() else next(iter(others), None)


def _numbers(entry: dict[str, Any]) -> dict[str, float]:
    """What of an entry is a number; infinite ones and NaN count, but for the step."""
    numbers = {}
    for key, value in entry.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            with suppress(OverflowError):  # a whole number above all floats
                numbers[key] = float(value)
    if not math.isfinite(numbers.get('step', 0)):
        del numbers['step']
    return numbers


def _guessed_start(entries: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """Where a start began whose text log is gone: just before its first entry."""
    first = next((entry for entry in entries if 'loss' in entry), None)
    if first is None:
        return 0, 0
    return max(0, int(first.get('epoch', 1)) - 1), max(0, int(first['step']) - 1)


def _no_log(work_dir: Path) -> str:
    """What to say of a folder without a log; folders of runs inside are named."""
    inside = sorted(p for p in work_dir.iterdir() if p.is_dir() and any(map(_is_log, _folders(p))))
    hint = f'; did you mean {inside[0]}?' if inside else ''
    return (
        f'{work_dir}: expected the work dir of a training, with TIMESTAMP/vis_data/scalars.json, '
        f'which mmengine writes, found none{hint}'
    )


def _folders(path: Path) -> list[Path]:
    """The folders in a folder; none where it may not be read."""
    try:
        return [entry for entry in path.iterdir() if entry.is_dir()]
    except PermissionError:
        return []
