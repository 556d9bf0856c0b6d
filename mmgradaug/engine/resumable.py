"""From which checkpoint a run can be resumed: the newest that was written to its end."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, is_main_process

from ..checkpoints.damage import is_damaged
from .atomic import write_atomically

POINTER = 'last_checkpoint'  # mmengine's name of the file that names the newest one


def newest_first(folder: Path | None, template: str) -> list[Path]:
    """The checkpoints in a folder, those of higher epochs or iterations before others.

    Args:
        folder: Where they are; None is nowhere.
        template: Of their names, such as ``epoch_{}.pth``.
    """
    head, _, tail = template.partition('{}')
    name = re.compile(f'{re.escape(head)}(\\d+){re.escape(tail)}')
    paths = [] if folder is None else folder.glob('*')
    found = [(name.fullmatch(path.name), path) for path in paths]
    by_step = sorted((int(m[1]), path) for m, path in found if m is not None)
    return [path for _, path in reversed(by_step)]


def newest_complete(folder: Path | None, template: str) -> Path | None:
    """The complete checkpoint of the highest epoch or iteration, see :func:`newest_first`."""
    return next((path for path in newest_first(folder, template) if not is_damaged(path)), None)


def require_complete(named: str, folder: Path | None, template: str) -> None:
    """Raise if a local checkpoint that a user wants to resume from is not whole.

    Args:
        named: The checkpoint.
        folder: Where another one may be, to tell of.
        template: See :func:`newest_first`.

    Raises:
        ValueError: If it is there and not whole; where there is no file, mmengine says so.
    """
    if '://' in str(named) or not Path(named).is_file() or not is_damaged(named):
        return
    newest = newest_complete(folder, template)
    other = f'; {newest} is complete' if newest is not None else ''
    raise ValueError(
        f'{named} is cut short or damaged, expected a complete checkpoint: copy it again, or '
        f'resume from an earlier one{other}'
    )


def repair_pointer(runner: Any, folder: Path, template: str) -> None:
    """Make ``last_checkpoint`` of a run name a complete checkpoint, if there is any.

    Args:
        runner: The run that is going to be resumed.
        folder: Where its checkpoints are.
        template: See :func:`newest_first`.

    Raises:
        ValueError: If there are checkpoints, or was one, and none is complete.
    """
    pointer = Path(runner.work_dir, POINTER)
    named = pointer.read_text().strip() if pointer.is_file() else None
    if named is not None and '://' in named:
        return
    if not named or is_damaged(named):
        newest, found = newest_complete(folder, template), newest_first(folder, template)
        if newest is None and (named is not None or found):
            raise ValueError(_nothing_to_resume(pointer, named, folder, found))
        if newest is not None and is_main_process():
            runner.logger.warning(
                f'{pointer} names {named or "nothing"!r}, which is not a complete checkpoint: '
                f'resuming from the newest that is, {newest}'
            )
            write_atomically(str(newest).encode(), pointer)
    barrier()


def _nothing_to_resume(pointer: Path, named: str | None, folder: Path, damaged: list[Path]) -> str:
    """The error where no checkpoint is complete."""
    said = f'{pointer} names {named or "nothing"!r}; ' if named is not None else ''
    rest = ', ...' if len(damaged) > 5 else ''
    files = ', '.join(path.name for path in damaged[:5])
    held = f'{files}{rest}, cut off or damaged' if damaged else 'none'
    return (
        f'there is no complete checkpoint to resume: {said}{folder} holds {held}; copy a whole one '
        f'there, or remove {pointer} and damaged ones to start anew'
    )
