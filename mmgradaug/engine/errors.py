"""One line for what a user can mend; the traceback for what only a programmer can."""

from __future__ import annotations

import difflib
import inspect
import linecache
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import mmengine
import mmengine.registry
import torch
from mmengine.config.utils import ConfigParsingError
from mmengine.registry import Registry

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
_WRONG_OPTIONS = re.compile(
    r'unexpected keyword argument|missing \d+ required|multiple values for|must be a mapping'
)
_UNKNOWN_NAME = re.compile(r'(\w+) is not in the (?:[\w-]+::)?([\w ]+) registry')
_UNKNOWN_OPTION = re.compile(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'")
_TORCH = str(Path(torch.__file__).parent)
_MMENGINE = str(Path(mmengine.__file__).parent)
_OURS = str(Path(__file__).parents[1])
_warned: list[str] = []  # in this process, so that a run can say it again in its log


@contextmanager
def one_line_errors(about: str = '') -> Iterator[None]:
    """Around reading configs, building models and checks: end with one line on a user's error.

    Args:
        about: The config keys that are being read, to say in front.

    Raises:
        SystemExit: With ``error: ...`` where :func:`is_about_input` says so; other errors pass
            with their traceback.
    """
    try:
        yield
    except Exception as error:
        if not is_about_input(error):
            raise
        where = f'{about}: ' if about else ''
        raise ending(f'{where}{message_of(error)}', error) from error


def ending(text: str, error: Exception) -> SystemExit:
    """What ends the process with one line; with the traceback before it where that is asked for."""
    if os.environ.get('MMGRADAUG_TRACEBACK', '0') not in ('', '0'):
        traceback.print_exception(error)
    return SystemExit(f'error: {text}')


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
        # Options handed on, as by a registry; mmengine's own calls are right.
        return '**' in statement or '__init__(' in statement or place.startswith(_MMENGINE)
    if isinstance(root, (TypeError, RuntimeError)) and place.startswith(_TORCH):
        return False
    if isinstance(root, KeyError):  # mmengine's "... is not in the ... registry", or a bare key
        return ' ' in str(root) and statement.startswith('raise')
    return statement.startswith(('raise', 'assert'))


def is_ours(error: BaseException) -> bool:
    """Whether a statement of this package raised an error, here or in a worker of a data loader."""
    if type(error).__module__.split('.')[0] == __name__.split('.')[0]:
        return True
    return _place(error)[0].startswith(_OURS) and _statement(error).startswith('raise')


def is_raised_in(error: BaseException, script: Path) -> bool:
    """Whether a statement of a script itself raised an error on purpose."""
    return _place(error)[0] == str(script) and _statement(error).startswith(('raise', 'assert'))


def message_of(error: BaseException) -> str:
    """What an error says, on one line; a bare assertion is quoted."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    text = _unknown_name(error) or _without_trace(text, type(error)) + _options_taken(error)
    text = ' '.join(text.split())
    return text or f'{type(error).__name__} at {_statement(_root(error))}'


def _unknown_name(error: BaseException) -> str | None:
    """For a type that no registry has: the nearest one that some registry of that kind has."""
    found = _UNKNOWN_NAME.search(str(error)) if isinstance(error, KeyError) else None
    if not found:
        return None
    name, kind = found.groups()
    roots = [r for r in vars(mmengine.registry).values() if isinstance(r, Registry)]
    registries = [r for root in roots if root.name == kind for r in [root, *root.children.values()]]
    near = closest(name, {key for registry in registries for key in registry.module_dict})
    return f'type={name!r} is no {kind} that is registered; write {near!r}' if near else None


def place_of(error: BaseException) -> str:
    """File, line and statement that raised an error."""
    file, line = _place(error)
    return f'{file}:{line}: {_statement(error)}'


def warn(text: str) -> None:
    """Print a warning of one line, apart from what a tool prints as its result."""
    _warned.append(text)
    print(f'warning: {text}', file=sys.stderr, flush=True)


def taken_warnings() -> list[str]:
    """The warnings of this process so far; they are forgotten."""
    taken, _warned[:] = list(dict.fromkeys(_warned)), []
    return taken


def closest(name: str, known: Iterable[str]) -> str | None:
    """The name of several that a name is probably a misspelling of."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.8)), None)


def _without_trace(text: str, kind: type) -> str:
    """The message alone of an error that torch carried out of a worker with its traceback."""
    name = kind.__qualname__
    name = name if kind.__module__ == 'builtins' else f'{kind.__module__}.{name}'
    _, found, message = text.partition('Original Traceback')[2].rpartition(f'\n{name}: ')
    return message if text.startswith('Caught ') and found else text


def _options_taken(error: BaseException) -> str:
    """For options that a class does not take: those that it does."""
    unknown = _UNKNOWN_OPTION.search(str(error))
    cls = unknown and _class_called(error, unknown[1])
    if not unknown or not cls:
        return ''
    inits = [vars(c)['__init__'] for c in cls.__mro__ if '__init__' in vars(c)]
    signatures = [inspect.signature(init) for init in inits]
    named = [p for s in signatures[:-1] for p in list(s.parameters.values())[1:]]
    known = list(
        dict.fromkeys(p.name for p in named if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))
    )
    meant = closest(unknown[2], known)
    hint = f' (perhaps {meant})' if meant else ''
    return f', expected some of {", ".join(known)}{hint}' if known else ''


def _class_called(error: BaseException, name: str) -> type | None:
    """The class of a name, or the subclass of it, that the frames of an error know."""
    for frame in reversed(list(frames_of(error))):
        for value in [*frame.f_locals.values(), frame.f_globals.get(name)]:
            if inspect.isclass(value) and name in [c.__name__ for c in value.__mro__]:
                return value
    return None


def frames_of(error: BaseException) -> Iterator[FrameType]:
    """The frames that an error passed, the outermost first."""
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


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
