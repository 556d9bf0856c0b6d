"""Load checkpoints as data, never by executing what they say.

A pickle may name any function and have it called while it is read. torch's ``weights_only`` refuses
every name that it does not know; what mmengine writes beside the weights is allowed here by name.
"""

import argparse
import os
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import torch
from mmengine.fileio import get_local_path
from mmengine.logging import HistoryBuffer
from mmengine.optim import OneCycleParamScheduler
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as zoo
from torch import Tensor

from ..errors import ConfigError

_TRUST_ALL = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'  # torch's own switch
# What torch raises where a file is no checkpoint, or not as it was written.
_UNREADABLE = (pickle.UnpicklingError, AttributeError, EOFError, LookupError, TypeError, ValueError)
# Methods are pickled as getattr(class, name); a run's state holds these.
_METHODS = {
    HistoryBuffer: ('min', 'max', 'mean', 'current'),
    OneCycleParamScheduler: ('_annealing_cos', '_annealing_linear'),
}
_WEIGHT_KEYS = ('state_dict', 'model', 'model_state_dict')  # mmengine; torchvision, timm; others


def load_checkpoint(path: str | Path, map_location: Any = 'cpu') -> Any:
    """Load a checkpoint file: tensors, plain data and the state of a run of mmengine.

    Raises:
        ConfigError: If the file is missing, damaged or no checkpoint, or if it holds anything
            else; nothing of it was executed then. The environment variable
            ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1`` makes torch trust whatever files hold.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise ConfigError(f'no checkpoint at {path.absolute()}')
    if path.suffix == '.safetensors':
        raise ConfigError(
            f'{path} is no file of torch: tools/publish.py --from timm makes one of it'
        )
    damaged = ConfigError(
        f'{path} ({path.stat().st_size} bytes) is damaged or no checkpoint: copy it again, or use '
        'an earlier one'
    )
    if is_damaged(path):
        raise damaged
    trusted = os.environ.get(_TRUST_ALL, '0') in ('1', 'y', 'yes', 'true')
    # torch removes on the way out what was given on the way in, allowed before or not.
    known = torch.serialization.get_safe_globals()
    new = [entry for entry in _run_state_globals() if entry not in known]
    with torch.serialization.safe_globals(new):
        try:
            return torch.load(path, map_location=map_location, weights_only=not trusted)
        except _UNREADABLE as error:
            unsafe = re.search(r'GLOBAL (\S+)', str(error))
            if unsafe is None:
                raise damaged from error
            raise ConfigError(
                f'{path} holds {unsafe[1]}, expected tensors, plain data and the state of a run. '
                f'Nothing of it was executed. If you trust who made it, set {_TRUST_ALL}=1'
            ) from error


def weights_of(checkpoint: Any) -> OrderedDict[str, Tensor]:
    """Return the weights of a checkpoint, or of a state dict, by the model's own names.

    torch's metadata goes along: versions, by which modules rename keys of old files.

    Raises:
        ConfigError: If there are no weights.
    """
    keys = list(checkpoint) if isinstance(checkpoint, Mapping) else []
    state = next((checkpoint[key] for key in _WEIGHT_KEYS if key in keys), checkpoint)
    named = state.items() if isinstance(state, Mapping) else ()
    wrappers = r'^(module\.|_orig_mod\.)+'  # of several processes, or a compiled model
    weights = OrderedDict(
        (re.sub(wrappers, '', name), value) for name, value in named if isinstance(value, Tensor)
    )
    if not weights:
        raise ConfigError(f'the checkpoint has no weights, expected a state_dict, got {keys[:5]}')
    if hasattr(state, '_metadata'):
        weights._metadata = state._metadata  # type: ignore[attr-defined]
    return weights


def is_damaged(path: str | os.PathLike) -> bool:
    """Return whether a checkpoint is missing, empty, or a torch archive that is not whole.

    Reads the file once: every entry of an archive has a checksum. Files that are no archives,
    as torch wrote them before 1.6, cannot be checked and count as whole.
    """
    try:
        with open(path, 'rb') as file:
            start = file.read(2)
        if start != b'PK':
            return not start
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is not None
    except (OSError, zipfile.BadZipFile, EOFError):
        return True


# Wherever mmengine loads from: its own loaders execute a file that cannot be loaded as data.
@CheckpointLoader.register_scheme(list(CheckpointLoader._schemes), force=True)
def load_from_mmgradaug(filename: str, map_location: Any = None) -> Any:
    """Load a checkpoint by path, URL or name of a model, in place of mmengine's loaders.

    Raises:
        ConfigError: As :func:`load_checkpoint`, or for a source that only mmengine can read.
    """
    scheme, _, name = filename.partition('://')
    if scheme in ('mmcls', 'pavi'):
        raise ConfigError(f'{filename} cannot be loaded as data: download it and give its path')
    if scheme in ('torchvision', 'modelzoo'):
        filename = zoo.get_torchvision_models()[name]
    elif scheme in ('open-mmlab', 'openmmlab'):
        filename = zoo.get_external_models()[zoo.get_deprecated_model_names().get(name, name)]
    if filename.startswith(('http://', 'https://')):
        path = Path(torch.hub.get_dir(), 'checkpoints', Path(urlparse(filename).path).name)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(filename, str(path))  # named once it is whole
        filename = str(path)
    with get_local_path(filename) as local:  # a file, or one of mmengine's storage backends
        checkpoint = load_checkpoint(local, map_location)
    # mmengine would load nothing of a file with another key, with no more than a warning.
    if isinstance(checkpoint, Mapping) and 'state_dict' not in checkpoint:
        found = next((checkpoint[key] for key in _WEIGHT_KEYS if key in checkpoint), None)
        if isinstance(found, Mapping):
            return {**checkpoint, 'state_dict': found}
    return checkpoint


def _run_state_globals() -> list[Any]:
    """Return what a run's state may name: classes, and (function, name in the file) pairs.

    The functions that make an array and a scalar have moved within numpy; files of either version
    load under either.
    """
    makers: list[Any] = [value.__reduce__()[0] for value in (np.zeros(0), np.float64(0))]
    places = ('numpy.core.multiarray', 'numpy._core.multiarray')
    moved = [(maker, f'{place}.{maker.__name__}') for maker in makers for place in places]
    dtypes = {type(np.dtype(code)) for code in '?bBhHiIlLqQefdU'}  # numbers and text
    own = [*_METHODS, np.ndarray, np.dtype, *dtypes, *moved, (_get_method, 'builtins.getattr')]
    return [*own, argparse.Namespace]  # of options, in files of many other repositories


def _get_method(owner: Any, name: Any) -> Callable[..., Any]:
    """Take the place of ``getattr``, which would reach anything from anything."""
    if not isinstance(owner, type) or name not in _METHODS.get(owner, ()):
        raise pickle.UnpicklingError(f'GLOBAL {getattr(owner, "__name__", owner)}.{name}')
    return getattr(owner, name)
