"""Published files: what they say of their origin, and names that tell their contents."""

import hashlib
import io
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..engine.atomic import INCOMPLETE, write_atomically
from ..errors import ConfigError
from ..version import __version__
from .source import Cut, Source
from .stock_config import stock_backbone


def record_of(source: Source, cut: Cut) -> dict[str, Any]:
    """Return recipe, training state and origin of what is published, as plain data."""
    meta, path = source.meta, source.path
    # As mmengine names an experiment: CONFIG_DATE_TIME.
    match = re.fullmatch(r'(.+)_\d{8}_\d{6}', str(meta.get('experiment_name')))
    record = {
        'config': match[1] if match else f'{path.absolute().parent.name}_{path.stem}',
        'width': 1.0 if cut.width is None else cut.width,
        'recalibration_images': cut.images,
        'epoch': meta.get('epoch'),
        'iter': meta.get('iter'),
        'mmgradaug_version': __version__,
        'source': path.name,
        'run': meta.get('experiment_name'),
    }
    if source.cfg is not None:
        record['network'] = backbone_name(stock_backbone(source.cfg.model.backbone))
    if source.library is not None:
        config = re.sub(r'-[0-9a-f]{8}$', '', path.stem)  # without a hash
        record |= {'config': config, 'library': source.library}
    return record


def backbone_name(backbone: Mapping[str, Any]) -> str:
    """Return type and depth of a backbone config, such as ``ResNet-18``."""
    return '-'.join(str(backbone[key]) for key in ('type', 'depth') if key in backbone)


def write_named(
    data: bytes, folder: Path, record: Mapping[str, Any], suffix: str, kind: str = ''
) -> Path:
    """Write ``CONFIG_wWIDTH_KIND-HASH.suffix`` and return its path.

    HASH is the first 8 hexadecimal digits of the data's SHA-256: torch.hub and mmengine check that
    part of the name when they download a file. Width 1 and an empty kind are not in the name.
    """
    digest = hashlib.sha256(data).hexdigest()[:8]
    width = '' if record['width'] == 1 else f'w{record["width"]:g}'
    stem = '_'.join(part for part in (record['config'], width, kind) if part)
    return write(data, folder / f'{stem}-{digest}{suffix}')


def write(data: bytes, path: Path) -> Path:
    """Write a file in one step; one that has these contents already is left as it is.

    Raises:
        ConfigError: If the file is there with other contents, as after an edit by hand.
    """
    if not path.exists():
        write_atomically(data, path)
    elif path.read_bytes() != data:
        raise ConfigError(
            f'{path} exists and holds something else: remove it, or give another folder by --out'
        )
    return path


def link(path: Path, name: Path) -> None:
    """Make ``name`` a relative link to a file; only a link is ever replaced.

    Raises:
        ConfigError: If something other than a link has that name.
    """
    if os.path.lexists(name) and not name.is_symlink():
        raise ConfigError(f'--link {name} exists and is no link: remove it, or give another --link')
    name.parent.mkdir(parents=True, exist_ok=True)
    partial = name.with_name(f'{name.name}.{os.getpid()}{INCOMPLETE}')
    # Of where folders really are: the name's may be a link, from which `..` leads elsewhere.
    partial.symlink_to(os.path.relpath(path.parent.resolve() / path.name, name.parent.resolve()))
    os.replace(partial, name)


def checkpoint_bytes(state: Mapping[str, Tensor], meta: Mapping[str, Any] | None = None) -> bytes:
    """Return a checkpoint as bytes: the same ones for the same weights and meta data.

    Without ``meta`` it holds the weights alone, as torchvision's files do.
    """
    buffer = io.BytesIO()
    tensors = own_tensors(state)
    torch.save(tensors if meta is None else {'meta': meta, 'state_dict': tensors}, buffer)
    return buffer.getvalue()


def own_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return clones: a slice would be stored whole, and safetensors refuses shared memory."""
    return {key: tensor.detach().cpu().clone().contiguous() for key, tensor in state.items()}
