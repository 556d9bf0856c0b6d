"""Write results whole or not at all, under names that tell their contents."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..engine.atomic import write_atomically
from ..errors import ConfigError


def write_named(data: bytes, folder: Path, stem: str, suffix: str, overwrite: bool) -> Path:
    """Write ``stem-HASH.suffix``, HASH the first 8 hexadecimal digits of the data's SHA-256.

    torch.hub and mmengine check that part of the name when they download a file.

    Raises:
        ConfigError: If the file is there with other contents and is not to be overwritten.
    """
    digest = hashlib.sha256(data).hexdigest()[:8]
    return write(data, folder / f'{stem}-{digest}{suffix}', overwrite)


def write(data: bytes, path: Path, overwrite: bool) -> Path:
    """Write a file in one step, so that nobody ever sees half of it; make its folder.

    One that has these contents already is left as it is, so that a command can be repeated.

    Raises:
        ConfigError: If the file is there with other contents and is not to be overwritten.
    """
    if path.exists() and not overwrite:
        if path.read_bytes() == data:
            return path
        raise ConfigError(
            f'{path} exists and holds something else: give --overwrite, or another folder by --out'
        )
    write_atomically(data, path)
    return path


def link(path: Path, name: Path, overwrite: bool) -> None:
    """Make ``name`` a link to a file, by a path that outlasts a move of both; make its folder.

    Raises:
        ConfigError: If something else has that name. Only a link is replaced, if ``overwrite``.
    """
    # Of where folders really are: the name's may be a link, from which `..` leads elsewhere.
    target = os.path.relpath(path.parent.resolve() / path.name, name.parent.resolve())
    if name.is_symlink() and os.readlink(name) == target:
        return
    if os.path.lexists(name) and not (overwrite and name.is_symlink()):
        raise ConfigError(
            f'--link {name} exists, expected nothing there: give another --link, or --overwrite '
            'to replace it if it is a link'
        )
    name.parent.mkdir(parents=True, exist_ok=True)
    partial = name.with_name(f'{name.name}.{os.getpid()}.incomplete')
    partial.symlink_to(target)
    os.replace(partial, name)


def checkpoint_bytes(state: Mapping[str, Tensor], meta: Mapping[str, Any] | None = None) -> bytes:
    """Return a checkpoint as bytes: the same ones for the same weights and meta data.

    Args:
        state: The weights.
        meta: What to store beside them; None for weights alone, as torchvision's files are.
    """
    buffer = io.BytesIO()
    tensors = own_tensors(state)
    torch.save(tensors if meta is None else {'meta': meta, 'state_dict': tensors}, buffer)
    return buffer.getvalue()


def own_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return clones: a slice would be stored whole, and safetensors refuses shared memory."""
    return {key: tensor.detach().cpu().clone().contiguous() for key, tensor in state.items()}
