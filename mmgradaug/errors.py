"""The one exception for mistakes in what a user configured or gave, and what was probably meant."""

import difflib
from collections.abc import Iterable
from typing import Any


class ConfigError(ValueError):
    """A mistake in a config, an option or a file; tools print it as one line and exit with 1.

    Its text names the value, what was expected and the fix.
    """


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'NAME'?)"`` for a probable misspelling, else an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.8)
    return f' (did you mean {near[0]!r}?)' if near else ''


def listed(names: Iterable[Any], most: int = 8) -> str:
    """Return names on a line, the first few of many."""
    found = [str(name) for name in names]
    rest = f', ... ({len(found)} in all)' if len(found) > most else ''
    return (', '.join(found[:most]) or 'none') + rest
