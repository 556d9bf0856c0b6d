"""Names that one is probably a misspelling of, of options and of files."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

_LOOKED_AT = 5000  # entries of a folder; one of images may have a million


def closest(name: str, known: Iterable[str]) -> str | None:
    """The name of several that a name is probably a misspelling of."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.8)), None)


def near_path(path: Path | str) -> str:
    """For a path where nothing is: ``' (perhaps NEAR)'``, where what is there has such a name.

    Args:
        path: The file or folder. Where its folder is missing, too, that one's name is compared.

    Returns:
        What to add to a message; empty if no name is near.
    """
    missing = Path(path).absolute()
    try:
        while not missing.parent.exists():
            missing = missing.parent
        with os.scandir(missing.parent) as entries:
            names = [entry.name for entry in islice(entries, _LOOKED_AT)]
    except OSError:  # no folder, or one that is closed to us
        return ''
    near = closest(missing.name, (name for name in names if name != missing.name))
    return f' (perhaps {missing.with_name(near)})' if near else ''
