"""Whose an error is: of what somebody configured or gave, or of code.

The rule, which everything here serves. An error is told in one line if both hold:

1. No code of the user took part. Below the first frame of a library, every frame that the error
   passed is of this package, mmdet, mmengine, mmcv, torch, torchvision, what these are built on,
   or Python itself; the same goes for the errors that it was raised from. A user's own model, data
   set, transform or hook, a config file that computes something, and packages that none of these
   knows are the user's code, whoever raised in the end: what is wrong may be there.
2. Its reason is known: a statement raised it on purpose about an option or a file
   (:func:`is_about_input`), or this package did (:func:`is_ours`).

Every other error keeps its whole traceback, whose last line says what the one line would.
"""

from __future__ import annotations

import importlib.util
import inspect
import linecache
import os
import re
import sysconfig
from collections.abc import Iterator
from functools import cache
from itertools import dropwhile
from pathlib import Path
from types import FrameType, TracebackType

from mmengine.config.utils import ConfigParsingError

_PACKAGE = __name__.split('.')[0]
_LIBRARIES = (_PACKAGE, 'mmdet', 'mmengine', 'mmcv', 'torch', 'torchvision')
_BUILT_ON = ('addict', 'cv2', 'numpy', 'PIL', 'pycocotools', 'rich', 'yapf', 'yapf_third_party')
_GENERATED = ('<frozen ', '<string>', '<__array_function__', '<eval_with_key>')  # in no file
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
    r'unexpected keyword argument|takes no arguments|missing \d+ required|multiple values for'
    r'|must be a mapping'
)
_CARRIED = 'Original Traceback'  # torch writes it into what it brings out of a worker process
_FILE = re.compile(r'^ *File "([^"]+)", line \d+', re.MULTILINE)


def is_about_input(error: BaseException) -> bool:
    """Whether library code raised an error on purpose about what somebody configured or gave.

    That is: an error about a named file; one that a ``raise`` or ``assert`` statement made, in
    contrast to one that happened to an expression; or options that a constructor does not take.
    Never one that came through the user's own code.
    """
    return not is_users(error) and _has_known_reason(root_of(error))


def is_ours(error: BaseException) -> bool:
    """Whether a statement of this package raised an error, here or in a worker of a data loader."""
    if _is_our_class(error):
        return True
    return _is_in(_place(error)[0], _PACKAGE) and statement_of(error).startswith('raise')


def is_raised_in(error: BaseException, script: Path) -> bool:
    """Whether a statement of a script itself raised an error on purpose."""
    return _place(error)[0] == str(script) and _is_deliberate(error)


def is_users(error: BaseException, script: Path | None = None) -> bool:
    """Whether code of the user took part in an error, or in one that it was raised from.

    Args:
        error: The error, which has been raised.
        script: A file that counts as a library, such as a tool of mmdet's.
    """
    return any(_passed_users_code(link, script) for link in _chain(error))


def frames_of(error: BaseException) -> Iterator[FrameType]:
    """The frames that an error passed, the outermost first."""
    return (trace.tb_frame for trace in _trace_of(error))


def place_of(error: BaseException) -> str:
    """File, line and statement of an error: the user's last ones that it passed, if any."""
    places = [(t.tb_frame.f_code.co_filename, t.tb_lineno) for t in _trace_of(error)]
    users = [place for place in places if not _is_installed(place[0])]
    file, line = (users or places or [('', 0)])[-1]
    return f'{file}:{line}: {linecache.getline(file, line).strip()}'


def statement_of(error: BaseException) -> str:
    """First line of the statement that raised an error."""
    return linecache.getline(*_place(error)).strip()


def root_of(error: BaseException) -> BaseException:
    """What an error of the same class was raised from, as where a key was put in front."""
    while type(error.__cause__) is type(error):
        assert error.__cause__ is not None
        error = error.__cause__
    return error


def show_hidden_causes(error: BaseException) -> None:
    """Make a traceback show what errors were raised from, even if whoever raised them hid it.

    mmengine hides the traceback of a TypeError in a hook.
    """
    for link in _chain(error):
        link.__suppress_context__ = False


def _has_known_reason(error: BaseException) -> bool:
    """Whether an error was raised on purpose, about input."""
    if isinstance(error, OSError):
        return error.filename is not None or statement_of(error).startswith('raise')
    if not isinstance(error, _ABOUT_INPUT):
        return False
    if isinstance(error, SyntaxError):
        return True
    statement, file = statement_of(error), _place(error)[0]
    if isinstance(error, TypeError) and _WRONG_OPTIONS.search(str(error)):
        # Options handed on, as by a registry; mmengine's own calls are right.
        return '**' in statement or '__init__(' in statement or _is_in(file, 'mmengine')
    if isinstance(error, (TypeError, RuntimeError)) and _is_in(file, 'torch'):
        return False
    if isinstance(error, KeyError):  # mmengine's "... is not in the ... registry", or a bare key
        return ' ' in str(error) and statement.startswith('raise')
    return _is_deliberate(error)


def _is_deliberate(error: BaseException) -> bool:
    """Whether a statement made an error, in contrast to one that happened to an expression."""
    return statement_of(error).startswith(('raise', 'assert'))


def _is_our_class(error: BaseException) -> bool:
    """Whether an error is of a class of this package."""
    return type(error).__module__.split('.')[0] == _PACKAGE


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those it was raised from or during, also where a traceback would not show it."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _passed_users_code(error: BaseException, script: Path | None) -> bool:
    """Whether a file of the user is among those that one error passed.

    The first ones are of whoever called a library, a tool or a notebook. Where no library was
    called, they raised the error themselves; an error of this package says what is wrong even so.
    """
    _, _, carried = str(error).partition(_CARRIED)
    files = _FILE.findall(carried) or [frame.f_code.co_filename for frame in _frames_within(error)]
    below = list(dropwhile(lambda file: not _is_in(file, *_LIBRARIES), files))
    if not below:
        below = [] if _is_our_class(error) else files
    return any(not (_is_library(file) or file == str(script)) for file in below)


def _frames_within(error: BaseException) -> list[FrameType]:
    """The frames that an error passed, without that of a context manager that looks at it."""
    frames = list(frames_of(error))
    around = bool(frames) and frames[0].f_code.co_flags & inspect.CO_GENERATOR
    return frames[1:] if around else frames


def _is_library(file: str) -> bool:
    """Whether a file is of the libraries, of what they are built on, or of Python."""
    if file.startswith(_GENERATED) or _is_in(file, *_LIBRARIES, *_BUILT_ON):
        return True
    if _is_compiled(file):
        return True
    inside = Path(file).is_relative_to(sysconfig.get_path('stdlib'))
    return inside and not {'site-packages', 'dist-packages'} & set(Path(file).parts)


def _is_compiled(file: str) -> bool:
    """Whether a file is a source of these that is not there, only what was compiled of it.

    Cython writes where it was on the machine that compiled it: ``pycocotools/_mask.pyx``.
    """
    path = Path(file)
    known = {*_LIBRARIES, *_BUILT_ON} & set(path.parts[:-1])
    return path.suffix == '.pyx' and bool(known) and not path.is_file()


def _is_in(file: str, *packages: str) -> bool:
    """Whether a file is of one of some packages."""
    return any(file.startswith(folder) for package in packages for folder in _folders(package))


@cache
def _folders(package: str) -> tuple[str, ...]:
    """Folders of a package, with a separator at their end; none if it is not installed."""
    spec = importlib.util.find_spec(package)
    places = spec.submodule_search_locations if spec is not None else None
    return tuple(f'{place}{os.sep}' for place in places or ())


def _place(error: BaseException) -> tuple[str, int]:
    """File and line at which an error was raised."""
    places = [(trace.tb_frame.f_code.co_filename, trace.tb_lineno) for trace in _trace_of(error)]
    return places[-1] if places else ('', 0)


def _trace_of(error: BaseException) -> Iterator[TracebackType]:
    """The entries of an error's traceback, the outermost first."""
    trace = error.__traceback__
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _is_installed(file: str) -> bool:
    """Whether a file is of a library, or of any other package that is installed."""
    return _is_library(file) or bool({'site-packages', 'dist-packages'} & set(Path(file).parts))
