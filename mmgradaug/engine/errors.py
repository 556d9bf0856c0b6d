"""One line for what a user can mend; the traceback for what only a programmer can.

Which is which says ``error_origin.py``, and what the line says ``error_text.py``.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import ConfigError
from .error_origin import is_about_input, is_users, show_hidden_causes
from .error_text import message_of

_warned: list[str] = []  # in this process, so that a run can say it again in its log


InputError = ConfigError


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Around a tool, or what it does before it runs anything: end with one line on a user's error.

    Raises:
        SystemExit: With ``error: ...`` where :func:`is_about_input` says so; other errors pass
            with their traceback.
    """
    try:
        yield
    except Exception as error:
        if not is_about_input(error):
            show_hidden_causes(error)
            raise
        raise ending(message_of(error), error) from error


@contextmanager
def naming(keys: str = '') -> Iterator[None]:
    """Around what reads config keys: a user's error says which keys these are.

    Args:
        keys: The keys, to say in front.

    Raises:
        InputError: Where :func:`is_about_input` says so; other errors pass as they are.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, InputError) or not is_about_input(error):
            raise
        raise InputError(f'{keys}: {message_of(error)}' if keys else message_of(error)) from error


def ending(text: str, error: Exception, script: Path | None = None) -> SystemExit:
    """What ends the process with one line.

    The traceback comes before it where that is asked for, or where the user's own code took part.

    Args:
        text: The line.
        error: What happened.
        script: A file that is not the user's; see :func:`is_users`.
    """
    asked = os.environ.get('MMGRADAUG_TRACEBACK', '0') not in ('', '0')
    if asked or is_users(error, script):
        show_hidden_causes(error)
        traceback.print_exception(error)
    return SystemExit(f'error: {text}')


def warn(text: str) -> None:
    """Print a warning of one line, apart from what a tool prints as its result."""
    _warned.append(text)
    print(f'warning: {text}', file=sys.stderr, flush=True)


def taken_warnings() -> list[str]:
    """The warnings of this process so far; they are forgotten."""
    taken, _warned[:] = list(dict.fromkeys(_warned)), []
    return taken
