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

from ..engine.atomic import INCOMPLETE, write_atomically
from ..engine.out_dir import make_out_dir

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

    One that is there with these very contents is left as it is, so that a command can be repeated.

    Raises:
        FileExistsError: If the file is there with others and is not to be overwritten.
    """
    if path.exists() and not overwrite:
        if path.is_file() and path.read_bytes() == data:
            return path
        raise FileExistsError(
            f'{path} exists and holds something else: give --overwrite, or another folder with '
            '--out'
        )
    write_atomically(data, path)
    return path


def check_link(name: Path, overwrite: bool) -> None:
    """See that a link can be made before what it leads to is written; makes its folder.

    Args:
        name: The link.
        overwrite: Whether to replace a link of that name. Nothing but a link is ever replaced.

    Raises:
        FileExistsError: If something has that name and is not to be replaced.
        OSError: If its folder cannot be written to.
    """
    if name.is_symlink() and not overwrite:
        raise FileExistsError(
            f'--link {name} leads to {os.readlink(name)}: give --overwrite to replace that link, '
            'or another --link'
        )
    if os.path.lexists(name) and not name.is_symlink():
        kind = 'folder' if name.is_dir() else 'file'
        raise FileExistsError(
            f'--link {name} is a {kind}, expected nothing there, or a link: move it away, or give '
            'another --link'
        )
    make_out_dir(f'folder of --link {name},', name.parent, 'a link')


def link(path: Path, name: Path, overwrite: bool) -> Path:
    """Make ``name`` lead to a file, by a path that outlasts a move of both; makes the folder.

    Raises:
        FileExistsError: If something else has that name; only a link is replaced, if
            ``overwrite``.
        OSError: If its folder cannot be written to.
    """
    # Of where folders really are: the name's may be a link, from which `..` leads elsewhere.
    target = os.path.relpath(path.parent.resolve() / path.name, name.parent.resolve())
    if name.is_symlink() and os.readlink(name) == target:
        return name
    check_link(name, overwrite)
    partial = name.with_name(f'{name.name}.{os.getpid()}{INCOMPLETE}')
    partial.symlink_to(target)
    os.replace(partial, name)
    return name


def serialised(state: Mapping[str, Tensor], meta: Mapping[str, Any]) -> bytes:
    """A checkpoint as bytes: the same ones for the same weights and meta data."""
    return _saved({'meta': dict(meta), 'state_dict': own_tensors(state)})


def serialised_weights(state: Mapping[str, Tensor]) -> bytes:
    """Weights alone as bytes, as torchvision's own files have them."""
    return _saved(own_tensors(state))


def _saved(contents: Any) -> bytes:
    """What ``torch.save`` writes."""
    buffer = io.BytesIO()
    torch.save(contents, buffer)
    return buffer.getvalue()


def own_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Clones: a slice would be stored with the whole tensor, and shared memory is refused."""
    return {key: tensor.detach().cpu().clone().contiguous() for key, tensor in state.items()}
