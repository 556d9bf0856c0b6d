"""One line for what a user can mend; the traceback for what only a programmer can."""

from __future__ import annotations

import linecache
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.config.utils import ConfigParsingError

# What configs, options and files cause. AttributeError is not among them: a misspelt attribute
# of a module raises one on purpose, too.
_ABOUT_INPUT = (
    ValueError,
    TypeError,
    KeyError,
    AssertionError,
    NotImplementedError,
    ImportError,
    SyntaxError,
    RuntimeError,  # mmengine's for names it cannot resolve; torch's own are not meant
    ConfigParsingError,
)
_WRONG_OPTIONS = re.compile(r'unexpected keyword argument|missing \d+ required|multiple values for')
_TORCH = str(Path(torch.__file__).parent)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Around reading configs, building models and checks: end with one line on a user's error.

    Raises:
        SystemExit: With ``error: ...`` where :func:`is_about_input` says so; other errors pass
            with their traceback.
    """
    try:
        yield
    except Exception as error:
        if not is_about_input(error):
            raise
        raise SystemExit(f'error: {message_of(error)}') from error


def is_about_input(error: Exception) -> bool:
    """Whether an error was raised on purpose because of what somebody configured or gave.

    That is: an error about a named file; one that a ``raise`` or ``assert`` statement made, in
    contrast to one that happened to an expression; or options that a constructor does not take.
    """
    root = _root(error)
    if isinstance(root, OSError):
        return root.filename is not None or _statement(root).startswith('raise')
    if not isinstance(root, _ABOUT_INPUT):
        return False
    if isinstance(root, SyntaxError):
        return True
    statement, place = _statement(root), _place(root)[0]
    if isinstance(root, TypeError) and _WRONG_OPTIONS.search(str(root)):
        return '**' in statement or '__init__(' in statement  # options handed on, as by a registry
    if isinstance(root, (TypeError, RuntimeError)) and place.startswith(_TORCH):
        return False
    if isinstance(root, KeyError):  # mmengine's "... is not in the ... registry"
        return 'registry' in str(root)
    return statement.startswith(('raise', 'assert'))


def message_of(error: Exception) -> str:
    """What an error says, on one line; a bare assertion is quoted."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return ' '.join(text.split()) or f'{type(error).__name__} at {_statement(_root(error))}'


def warn(text: str) -> None:
    """Print a warning of one line, apart from what a tool prints as its result."""
    print(f'warning: {text}', file=sys.stderr, flush=True)


def _root(error: BaseException) -> BaseException:
    """What an error of the same class was raised from; mmengine's registries wrap some so."""
    while type(error.__cause__) is type(error):
        assert error.__cause__ is not None
        error = error.__cause__
    return error


def _place(error: BaseException) -> tuple[str, int]:
    """File and line at which an error was raised."""
    trace = error.__traceback__
    if trace is None:
        return '', 0
    while trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_code.co_filename, trace.tb_lineno


def _statement(error: BaseException) -> str:
    """First line of the statement that raised an error."""
    return linecache.getline(*_place(error)).strip()
