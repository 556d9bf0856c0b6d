"""Read a checkpoint of a run as plain data: nothing in it is executed."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer
from torch import Tensor

MOVED = 'mmgradaug reads plain data only; save the weights alone where the file comes from'


def read_checkpoint(path: Path | str) -> dict[str, Any]:
    """Contents of a checkpoint that mmengine or ``torch.save`` wrote, on the CPU.

    Besides tensors and plain data it may hold what mmengine puts into the checkpoint of a run:
    numpy numbers and arrays, and its ``HistoryBuffer`` of logged values.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a checkpoint, or holds objects whose loading executes code; the
            message names them.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'no checkpoint at {path.absolute()}: expected a file of a run')
    try:
        with torch.serialization.safe_globals(_run_globals()):
            contents = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f'{path} would execute code while loading: it holds {_unsafe(path, error)}, expected '
            f'tensors and plain data. {MOVED}: torch.save({{"state_dict": model.state_dict(), '
            '"meta": {...}}, PATH)'
        ) from error
    except (RuntimeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f'{path} is not a checkpoint ({str(error).splitlines()[0]}), expected a file that '
            'torch.save wrote: copy it again'
        ) from error
    if not isinstance(contents, Mapping):
        raise ValueError(
            f'{path} holds a {type(contents).__name__}, expected a dictionary with state_dict'
        )
    return dict(contents)


def weights_of(checkpoint: Mapping[str, Any], averaged: bool | None = None) -> dict[str, Tensor]:
    """The weights of a checkpoint under the detector's own names.

    mmengine's ``EMAHook`` exchanges the two sets when it saves: ``state_dict`` then holds the
    averaged weights, those that were validated, and ``ema_state_dict`` the trained ones.

    Args:
        checkpoint: What :func:`read_checkpoint` returned.
        averaged: True for averaged weights, False for the trained ones; None for what the run
            validated, which are the averaged ones if there are any.

    Raises:
        ValueError: If the checkpoint has no weights, or averaged ones are asked for that it lacks.
    """
    has_average = 'ema_state_dict' in checkpoint
    if averaged and not has_average:
        raise ValueError(
            'the checkpoint has no averaged weights (no ema_state_dict), expected one of a run '
            'with EMAHook: leave out --ema'
        )
    state = checkpoint.get('state_dict', checkpoint)
    if averaged is False and has_average:
        average = checkpoint['ema_state_dict']
        trained = {k.removeprefix('module.'): v for k, v in average.items() if k != 'steps'}
        state = {**state, **trained}
    tensors = {k.removeprefix('module.'): v for k, v in state.items() if isinstance(v, Tensor)}
    if not tensors:
        raise ValueError(
            f'the checkpoint has no weights, expected state_dict: it holds {sorted(checkpoint)}'
        )
    return tensors


def _run_globals() -> list[Any]:
    """What a pickled mmengine run may name besides torch's own, and nothing that can do harm."""
    core = getattr(np, '_core', None) or np.core  # numpy 1 calls it `core`
    names = ('numpy._core.multiarray', 'numpy.core.multiarray')
    arrays = [
        (getattr(core.multiarray, function), f'{name}.{function}')
        for function in ('_reconstruct', 'scalar')
        for name in names
    ]
    dtypes = [type(np.dtype(t)) for t in (np.bool_, np.int32, np.int64, np.float32, np.float64)]
    return [HistoryBuffer, np.ndarray, np.dtype, slice, *dtypes, *arrays,
            (_history_method, 'builtins.getattr')]  # fmt: skip


def _history_method(owner: Any, name: str) -> Any:
    """Stands in for ``getattr``, by which a pickle names methods of ``HistoryBuffer``."""
    if owner is not HistoryBuffer or name.startswith('_'):
        raise pickle.UnpicklingError(f'getattr of {owner!r}, {name!r}')
    return getattr(owner, name)


def _unsafe(path: Path, error: Exception) -> str:
    """Names of what a file may not hold."""
    try:
        with torch.serialization.safe_globals(_run_globals()):
            found = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except (ValueError, RuntimeError):  # a file of the time before torch 1.6
        found = []
    return ', '.join(sorted(found)) or str(error).splitlines()[0]
