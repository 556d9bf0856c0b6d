"""Where results go: made and tried before anything is computed for it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def make_out_dir(option: str, path: Path, holds: str = 'the results') -> Path:
    """Make a folder for results, with those above it, and try whether it can be written to.

    Args:
        option: What names it, an option of a command line or the key of a config.
        path: The folder.
        holds: What goes into it, for messages.

    Returns:
        The folder.

    Raises:
        OSError: With the option, the path and the remedy, if it cannot be made or written to.
    """
    reason = _reason_against(path, path)
    if reason:
        raise OSError(f'{option} {path}: {reason}, expected a folder for {holds}: name another')
    return path


@contextmanager
def removed_if_empty(folder: Path) -> Iterator[None]:
    """Around what writes into a folder: where it fails, no empty folder is left behind."""
    try:
        yield
    except BaseException:
        with suppress(OSError):  # it is not empty
            folder.rmdir()
        raise


def make_out_file(option: str, path: Path, holds: str = 'the results') -> Path:
    """As :func:`make_out_dir`, of a file that is going to be written into its folder.

    What has the name already stays as it is.

    Raises:
        OSError: If the name is a folder's, or its folder cannot be made or written to.
    """
    reason = 'it is a folder' if path.is_dir() else _reason_against(path.parent, path)
    if reason:
        raise OSError(f'{option} {path}: {reason}, expected a file for {holds}: name another')
    return path


def _reason_against(folder: Path, named: Path) -> str | None:
    """Why no file can be written into a folder, which is made; None if one can.

    Args:
        folder: The folder.
        named: What the message names before this.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Permissions do not tell: root has them where there is no such file system, or no space.
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        above = next(path for path in (folder, *folder.parents) if path.exists())
        if not above.is_dir():
            return f'{"it" if above == named else above} is no folder'
        return f'{error.strerror} in {above}'
