"""Whether a checkpoint is as it was written."""

from __future__ import annotations

import os
import zipfile


def is_damaged(path: str | os.PathLike) -> bool:
    """Whether a checkpoint is not there, empty, or a torch archive that is not whole.

    Reads the file once: every entry of an archive has a checksum. Files that are no archives,
    as torch wrote them before 1.6, cannot be checked and count as whole.
    """
    try:
        with open(path, 'rb') as file:
            start = file.read(2)
        if start != b'PK':
            return not start
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is not None
    except (OSError, zipfile.BadZipFile, EOFError):
        return True
