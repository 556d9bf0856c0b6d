"""Load checkpoints as data, never by executing what they say.

A pickle may name any function and have it called while it is read. torch refuses every name that
it was not told to allow; what a run of mmengine writes beside the weights is allowed here by name,
so that a run resumes with the original mmengine as with the maintained one.
"""

from __future__ import annotations

import errno
import os
import pickle
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from textwrap import shorten
from typing import Any
from unittest import mock

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim import OneCycleParamScheduler
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner.checkpoint import load_from_local as mmengine_load_from_local

from ..errors import path_suggestion
from .damage import is_damaged

TRUST_ALL = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'  # torch's own switch
ONLY_DATA = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'
# Methods are pickled as getattr(class, name); these are the ones that a run's state holds.
METHODS = {
    HistoryBuffer: ('min', 'max', 'mean', 'current'),
    OneCycleParamScheduler: ('_annealing_cos', '_annealing_linear'),
}
# In what torch says of files that are cut short or something else, a torch of 2016's among them.
BROKEN_FILE = 'PytorchStreamReader|corrupted|legacy .tar'
NUMBERS_AND_TEXT = '?bBhHiIlLqQefdU'  # numpy's type codes


class UnsafeCheckpointError(ValueError):
    """A checkpoint holds something that only executing it would load."""


def load_file(path: Path | str, map_location: Any = 'cpu') -> Any:
    """Load a checkpoint file: tensors, plain data and the state of a run of mmengine.

    Args:
        path: The file.
        map_location: As of ``torch.load``.

    Raises:
        FileNotFoundError: If there is no such file.
        UnsafeCheckpointError: If it holds anything else; nothing of it was executed. Files are
            trusted in whatever they hold if the environment variable
            ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD`` is set to 1.
        ValueError: If it is damaged, or not a checkpoint that ``torch.save`` wrote.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f'no checkpoint at {path.absolute()}{path_suggestion(path)}: expected a file such as '
            'work_dirs/CONFIG/epoch_12.pth'
        )
    try:
        with _allowing_run_state():
            contents = torch.load(path, map_location=map_location, weights_only=not _trusts_all())
    except pickle.UnpicklingError as error:
        names = _unknown_names(path, error)
        if names:
            raise UnsafeCheckpointError(_refusal(str(path), names)) from error
        raise ValueError(_not_a_checkpoint(path, 'its content is something else')) from error
    except Exception as error:  # damaged files raise whatever their bytes happen to mean
        if not _is_files_fault(error):
            raise
        raise ValueError(_not_a_checkpoint(path, str(error))) from error
    if is_damaged(path):  # in the numbers of a tensor, which torch takes as they are
        raise ValueError(_not_a_checkpoint(path, 'its checksums are not those of its contents'))
    return contents


@contextmanager
def safe_loading() -> Iterator[None]:
    """Whatever mmengine's ``CheckpointLoader`` loads inside is loaded as data only.

    That is what ``init_cfg``, ``load_from``, resuming and ``load_checkpoint`` load, by whichever
    loader: local files as by :func:`load_file`, unless somebody registered a loader of their own
    for them. Outside its calls torch and mmengine are as they were, so ``torch.load`` of other
    code loads what it asks for. Does nothing if the user trusts all files, see
    :func:`load_file`. May be nested.

    Raises:
        UnsafeCheckpointError: If a checkpoint holds more; nothing of it was executed.
    """
    load = CheckpointLoader.load_checkpoint

    def load_as_data(
        cls: type, filename: str, map_location: Any = None, logger: Any = 'current'
    ) -> Any:
        with _loading_data_only(str(filename)):
            return load(filename, map_location, logger)

    if _trusts_all():
        yield
        return
    with mock.patch.object(CheckpointLoader, 'load_checkpoint', classmethod(load_as_data)):
        yield


@contextmanager
def _loading_data_only(source: str) -> Iterator[None]:
    """While mmengine loads one checkpoint, nothing is loaded but data.

    Args:
        source: Where it is from, for messages.
    """
    schemes: Any = CheckpointLoader._schemes
    ours = {} if schemes.get('') is not mmengine_load_from_local else {'': load_from_local}
    with ExitStack() as stack:
        stack.enter_context(mock.patch.dict(schemes, ours))
        # Even where code asks for more: mmengine does where data alone cannot be loaded.
        stack.enter_context(_environment(ONLY_DATA, '1'))
        if hasattr(mmengine_checkpoint, 'get_torch_safe_globals'):  # which has `getattr` among them
            stack.enter_context(
                mock.patch.object(mmengine_checkpoint, 'get_torch_safe_globals', list)
            )
        stack.enter_context(_allowing_run_state())
        try:
            yield
        except pickle.UnpicklingError as error:
            names = _named(error) or f'what torch cannot read as data ({error})'
            raise UnsafeCheckpointError(_refusal(source, names)) from error


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Set a variable of the environment for a while, and touch no other."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


def load_from_local(filename: str, map_location: Any) -> Any:
    """Take the place of mmengine's loader of local files, which may execute them."""
    return load_file(filename, map_location)


def run_state_globals() -> list[Any]:
    """What a run's checkpoint may name: classes, and (function, name in the file) pairs.

    ``message_hub`` holds the history of the log in arrays, and a one-cycle schedule its annealing
    function. The functions that make an array and a scalar have moved within numpy; files of
    either version load under either.
    """
    make_array, make_scalar = (x.__reduce__()[0] for x in (np.zeros(0), np.float64(0)))
    moved = [
        (function, f'numpy.{core}.multiarray.{name}')
        for core in ('core', '_core')
        for function, name in ((make_array, '_reconstruct'), (make_scalar, 'scalar'))
    ]
    dtypes = {type(np.dtype(code)) for code in NUMBERS_AND_TEXT}
    return [*METHODS, np.ndarray, np.dtype, *dtypes, *moved, (_get_method, 'builtins.getattr')]


def _get_method(owner: Any, name: Any) -> Callable[..., Any]:
    """Take the place of ``getattr``, which would reach anything from anything."""
    if not isinstance(owner, type) or name not in METHODS.get(owner, ()):
        found = f'{getattr(owner, "__name__", type(owner).__name__)}.{name}'
        raise pickle.UnpicklingError(f'GLOBAL {found} is not allowed')
    return getattr(owner, name)


def _allowing_run_state() -> AbstractContextManager[Any]:
    """Allow torch to load a run's state; no effect where a torch cannot allow by name."""
    if not _can_allow():
        return nullcontext()
    # torch removes on the way out what was given on the way in, allowed before or not.
    known = torch.serialization.get_safe_globals()
    new = [entry for entry in run_state_globals() if entry not in known]
    return torch.serialization.safe_globals(new)


def _can_allow() -> bool:
    """Whether torch lets callers allow names as a file spells them (2.6 and later)."""
    return hasattr(torch.serialization, 'get_unsafe_globals_in_checkpoint')


def _trusts_all() -> bool:
    """Whether the user told torch to execute whatever files say."""
    return os.environ.get(TRUST_ALL, '0') in ('1', 'y', 'yes', 'true')


def _refusal(source: str, names: str) -> str:
    """The error for a checkpoint that holds more than data."""
    old = f' (torch {torch.__version__} cannot load the state of a run safely, 2.6 can)'
    return (
        f'{source} holds {names}, expected tensors, plain data and the state of a run'
        f'{"" if _can_allow() else old}. Nothing of it was executed. If you trust who made it, run '
        f'the same with {TRUST_ALL}=1, which executes what the file says; or have them save '
        '{"state_dict": model.state_dict()} alone'
    )


def _unknown_names(path: Path, error: pickle.UnpicklingError) -> str:
    """Everything in a file that is not allowed, as far as it can be told without executing it."""
    names: list[str] = []
    if _can_allow():
        unreadable = (ValueError, RuntimeError, EOFError, pickle.UnpicklingError)
        with suppress(*unreadable), _allowing_run_state():  # all but what torch.save writes now
            names = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
    return ', '.join(sorted(names)) or _named(error)


def _named(error: pickle.UnpicklingError) -> str:
    """What torch stopped at, empty if that has no name: then the file is no checkpoint."""
    found = re.search(r'GLOBAL (\S+)', str(error))
    return found[1] if found else ''


def _is_files_fault(error: Exception) -> bool:
    """Whether an error tells of a file's content, not of memory, devices or disks."""
    if isinstance(error, OSError):
        return error.errno == errno.EINVAL  # places that the content names and the file lacks
    if isinstance(error, RuntimeError):
        return re.search(BROKEN_FILE, str(error)) is not None
    return not isinstance(error, MemoryError)


def _not_a_checkpoint(path: Path, reason: str) -> str:
    """The error for a file of another kind, or cut short."""
    return (
        f'{path} ({path.stat().st_size} bytes) is damaged, cut short or no checkpoint '
        f'({shorten(reason, 120, placeholder=" ...") or "unreadable"}), expected a file written by '
        'torch.save: copy it again, or use an earlier one'
    )
