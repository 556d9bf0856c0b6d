"""The folder of a run, made before anything is computed for it."""

from __future__ import annotations

import os
from pathlib import Path


def make_work_dir(path: Path) -> None:
    """Make a run's folder, with those above it.

    Raises:
        OSError: With the remedy, if it cannot be made or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        reason = None if os.access(path, os.W_OK) else 'it cannot be written to'
    except OSError as error:
        reason = error.strerror
    if reason:
        raise OSError(
            f'--work-dir {path}: {reason}, expected a folder for logs and checkpoints: name another'
        )
