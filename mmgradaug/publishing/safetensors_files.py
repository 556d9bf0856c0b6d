"""Weights in the safetensors format, which holds nothing but tensors and text."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from .writing import own_tensors

SUFFIX = '.safetensors'


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the package is missing, or the file is damaged.
    """
    _check_package()
    from safetensors import SafetensorError, torch  # optional, see `_check_package`

    if not path.is_file():
        raise FileNotFoundError(f'no weights at {path.absolute()}, expected a {SUFFIX} file')
    try:
        return torch.load(path.read_bytes())
    except SafetensorError as error:
        reason = str(error)
    raise ValueError(  # outside: errors that pass code of other packages keep their traceback
        f'{path} is damaged, cut short or no {SUFFIX} file ({reason}): copy it again'
    )


def to_safetensors(state: Mapping[str, Tensor], meta: Mapping[str, str]) -> bytes:
    """A file's contents: the same ones for the same weights and meta data.

    Raises:
        ValueError: If the package is missing.
    """
    _check_package()
    from safetensors import torch  # optional, see `_check_package`

    return torch.save(own_tensors(state), dict(meta))


def _check_package() -> None:
    """Raise if the package is missing."""
    if importlib.util.find_spec('safetensors') is None:
        raise ValueError(
            f'{SUFFIX} files need the package safetensors, which this environment lacks: '
            'pip install safetensors'
        )
