"""Write results whole or not at all, under names that tell their contents."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..engine.atomic import write_atomically

HASH_DIGITS = 8


def write_named(data: bytes, folder: Path, stem: str, suffix: str, overwrite: bool) -> Path:
    """Write ``stem-HASH.suffix``, HASH the first 8 hexadecimal digits of the data's SHA-256.

    torch.hub and mmengine check that part of the name when they download a file.

    Raises:
        FileExistsError: If the file is there and is not to be overwritten.
    """
    digest = hashlib.sha256(data).hexdigest()[:HASH_DIGITS]
    return write(data, folder / f'{stem}-{digest}{suffix}', overwrite)


def write(data: bytes, path: Path, overwrite: bool) -> Path:
    """Write a file in one step, so that nobody ever sees half of it; makes the folder.

    Raises:
        FileExistsError: If the file is there and is not to be overwritten.
    """
    if path.exists() and not overwrite:
        raise FileExistsError(f'{path} exists: give --overwrite, or another folder with --out')
    write_atomically(data, path)
    return path


def serialised(state: Mapping[str, Tensor], meta: Mapping[str, Any]) -> bytes:
    """A checkpoint as bytes: the same ones for the same weights and meta data."""
    # Clones: a slice would be stored with the whole tensor that it was cut from.
    weights = {key: tensor.detach().cpu().clone().contiguous() for key, tensor in state.items()}
    buffer = io.BytesIO()
    torch.save({'meta': dict(meta), 'state_dict': weights}, buffer)
    return buffer.getvalue()
