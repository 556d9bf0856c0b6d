"""The one exception for mistakes in what a user configured or gave, and what was probably meant."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

_LOOKED_AT = 5000  # entries of a folder; one of images may have a million


class ConfigError(ValueError):
    """A mistake in a config, an option or a file; tools print it as one line and exit with 1.

    Its text names the value, what was expected and the fix.
    """


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'NAME'?)"`` for a probable misspelling, else an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.8)
    return f' (did you mean {near[0]!r}?)' if near else ''


def path_suggestion(path: Path | str) -> str:
    """Return ``' (did you mean NEAR?)'`` for a missing path that resembles one that is there.

    Args:
        path: The missing file or folder. If its folder is missing, too, that one is compared.
    """
    missing = Path(path).absolute()
    try:
        while not missing.parent.exists():
            missing = missing.parent
        with os.scandir(missing.parent) as entries:
            names = [entry.name for entry in islice(entries, _LOOKED_AT)]
    except OSError:  # no folder, or one that is closed to us
        return ''
    near = difflib.get_close_matches(missing.name, set(names) - {missing.name}, n=1, cutoff=0.8)
    return f' (did you mean {missing.with_name(near[0])}?)' if near else ''
