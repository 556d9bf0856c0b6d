"""Files that are there whole or not at all."""

import os
from pathlib import Path

INCOMPLETE = '.incomplete'


def write_atomically(data: bytes, path: str | os.PathLike) -> None:
    """Write a file so that its name never stands for a part of it, whatever happens meanwhile.

    What had the name before is intact until then. Folders are made.

    Raises:
        OSError: If it cannot be written, for want of space for instance. Nothing is left over.
    """
    path = Path(path)
    # The process id keeps two writers of one file from sharing its half-written part.
    partial = path.with_name(f'{path.name}.{os.getpid()}{INCOMPLETE}')
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(partial, 'wb') as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
