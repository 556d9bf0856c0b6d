"""Published files: what they say of their origin, and names that tell their contents."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..engine.atomic import write_atomically
from ..engine.run_log import NOT_METRICS, Scalars, placed, read_entries
from ..errors import ConfigError
from ..version import __version__
from .source import Cut, Source
from .stock_config import stock_backbone

# mmengine names an experiment CONFIG_DATE_TIME, and the folder of its log DATE_TIME.
EXPERIMENT = re.compile(r'(?P<config>.+)_(?P<started>\d{8}_\d{6})')
HASH = re.compile(r'-[0-9a-f]{8}$')


def record_of(source: Source, cut: Cut) -> dict[str, Any]:
    """Return recipe, training state, precision and origin of what is published, as plain data.

    ``metrics`` are those of exactly this network: empty where they are unknown, as those of
    sub-networks and of weights that the run did not validate.
    """
    meta, path = source.meta, source.path
    match = EXPERIMENT.fullmatch(str(meta.get('experiment_name')))
    is_validated = source.validated and cut.width in (None, 1) and not cut.images
    log = path.absolute().parent / match['started'] / 'vis_data/scalars.json' if match else None
    record = {
        'config': match['config'] if match else f'{path.absolute().parent.name}_{path.stem}',
        'width': 1.0 if cut.width is None else cut.width,
        'recalibration_images': cut.images,
        'epoch': meta.get('epoch'),
        'iter': meta.get('iter'),
        'metrics': validated_metrics(meta, log) if log and is_validated else {},
        'mmgradaug_version': __version__,
        'source': path.name,
        'run': meta.get('experiment_name'),
    }
    if source.cfg is not None:
        record['network'] = backbone_name(stock_backbone(source.cfg.model.backbone))
    if source.library is not None:
        record |= {'config': HASH.sub('', path.stem), 'library': source.library}
    return record


def backbone_name(backbone: Mapping[str, Any]) -> str:
    """Return type and depth of a backbone config, such as ``ResNet-18``."""
    return '-'.join(str(backbone[key]) for key in ('type', 'depth') if key in backbone)


def validated_metrics(meta: Mapping[str, Any], log: Path) -> dict[str, float]:
    """Return what the validation of a checkpoint gave, from the log of its run; {} if none did.

    The checkpoint itself does not tell: it is saved before its epoch's validation.
    """
    entries = read_entries(log) if log.is_file() else []
    scalars = Scalars.of(entries)
    step = meta.get('epoch' if scalars.by_epoch else 'iter')
    if not scalars.by_epoch:
        scalars = Scalars.of(placed(entries))
    found = [entry for entry in scalars.val if entry['step'] == step]
    return {k: v for k, v in (found[-1] if found else {}).items() if k not in NOT_METRICS}


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
    path = folder / f'{stem}-{digest}{suffix}'
    write_atomically(data, path)
    return path


def link(path: Path, name: Path) -> None:
    """Make ``name`` a relative link to a file; only a link is ever replaced.

    Raises:
        ConfigError: If something other than a link has that name.
    """
    if os.path.lexists(name) and not name.is_symlink():
        raise ConfigError(f'--link {name} exists and is no link: remove it, or give another --link')
    name.parent.mkdir(parents=True, exist_ok=True)
    name.unlink(missing_ok=True)
    # Of where folders really are: the name's may be a link, from which `..` leads elsewhere.
    name.symlink_to(os.path.relpath(path.parent.resolve() / path.name, name.parent.resolve()))


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
