"""The one exception for mistakes in what a user configured or gave, and what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ConfigError(ValueError):
    """A mistake in a config, an option or a file; tools print it as one line and exit with 1.

    Its text names the value, what was expected and the fix.
    """


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'NAME'?)"`` for a probable misspelling, else an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.8)
    return f' (did you mean {near[0]!r}?)' if near else ''
