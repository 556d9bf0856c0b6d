"""Refuse pretrained weights that do not fit, before training starts.

mmengine loads pretrained weights leniently and only warns, so that a backbone whose keys do
not match trains from random weights for hours. Here a misfit is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError

from mmcv.cnn.bricks.context_block import ContextBlock
from mmcv.cnn.bricks.generalized_attention import GeneralizedAttention
from mmcv.ops import DeformConv2dPack, ModulatedDeformConv2dPack
from mmengine.model import PretrainedInit
from mmengine.registry import WEIGHT_INITIALIZERS
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from ..checkpoints.reading import read_checkpoint, weights_of
from ..checkpoints.safe_loading import safe_loading
from ..errors import path_suggestion
from ..type_names import builds

BLOCK = re.compile(r'layer\d+\.\d+(?=\.)')  # of a ResNet
HOW_TO_GET = (
    'put the file there, or point model.backbone.init_cfg.checkpoint at one you have '
    '(--cfg-options model.backbone.init_cfg.checkpoint=PATH); torchvision://resnet50 (or '
    "resnext50_32x4d, say) starts from torchvision's ImageNet weights, and "
    'model.backbone.init_cfg=None from random ones'
)


def pretrained_of(init_cfg: Any) -> Mapping[str, Any] | None:
    """The ``Pretrained`` entry of an mmengine ``init_cfg``, if it has one."""
    entries = init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]
    pretrained = [entry for entry in entries if builds(entry, PretrainedInit, WEIGHT_INITIALIZERS)]
    return pretrained[-1] if pretrained else None


def require_pretrained(checkpoint: str, key: str = 'init_cfg.checkpoint') -> None:
    """Raise if pretrained weights are a local file that is missing.

    Args:
        checkpoint: Path or any address mmengine loads.
        key: The config key that names it.

    Raises:
        FileNotFoundError: With the path expected, the key, and the fix.
    """
    path = Path(checkpoint).expanduser()
    if '://' not in checkpoint and not path.is_file():
        of_teacher = f'put the file there, or set --cfg-options {key}=PATH'
        fix = of_teacher if '.teacher.' in key else HOW_TO_GET
        raise FileNotFoundError(
            f'no pretrained weights at {path.absolute()} ({key}){path_suggestion(path)}: {fix}'
        )


def check_pretrained(module: nn.Module, checkpoint: str, prefix: str | None = None) -> None:
    """Raise unless a checkpoint holds every parameter and statistic of ``module``.

    Entries that the module lacks (a classifier's ``fc``) are fine, and so is what files of plain
    networks lack: ``num_batches_tracked`` counters, plugins and the offsets of deformable
    convolutions.

    Args:
        module: The network that the checkpoint is meant for.
        checkpoint: Path or any address mmengine loads (``torchvision://resnet50``).
        prefix: Keep the entries that start with it, for example ``'backbone.'``.

    Raises:
        FileNotFoundError: If a local file is missing.
        ValueError: If it holds more than tensors, plain data and the state of a run, or does not
            fit.
    """
    state = weights_of(_load(checkpoint), checkpoint, prefix)
    expected = {k: v for k, v in module.state_dict().items() if 'num_batches_tracked' not in k}
    added = tuple(_added(module))
    missing = [key for key in expected if key not in state and not key.startswith(added)]
    if missing:
        raise ValueError(_misfit(module, checkpoint, missing, len(expected), state))
    _refuse_deeper(module, checkpoint, state)
    for key, tensor in expected.items():
        if key in state and state[key].shape != tensor.shape:
            raise ValueError(
                f'{key} of {checkpoint} has shape {tuple(state[key].shape)}, expected '
                f'{tuple(tensor.shape)} for {type(module).__name__}: use weights of the same '
                'depth, channels and, of ResNeXt, groups and base_width'
            )


def _refuse_deeper(module: nn.Module, checkpoint: str, state: Mapping[str, Tensor]) -> None:
    """Raise if a stage that a network has is of more blocks in a file: they would be left out."""
    own, theirs = (
        {found[0] for found in map(BLOCK.match, keys) if found}
        for keys in (module.state_dict(), state)
    )
    stages = {block.partition('.')[0] for block in own}
    more = sorted(block for block in theirs - own if block.partition('.')[0] in stages)
    if more:
        raise ValueError(
            f'{checkpoint} has {len(more)} blocks more than {type(module).__name__} ({more[0]} '
            'and others): its weights are of a deeper network, expected those of the same depth'
        )


def _added(network: nn.Module) -> Iterator[str]:
    """Prefixes of what a network has and the plain one that files are of has not."""
    for name, module in network.named_modules():
        if isinstance(module, (ContextBlock, GeneralizedAttention)):
            yield f'{name}.'
        elif isinstance(module, (DeformConv2dPack, ModulatedDeformConv2dPack)):
            yield f'{name}.conv_offset.'


def _load(checkpoint: str) -> Any:
    """Contents of a checkpoint, read without executing anything."""
    if '://' in checkpoint:
        try:
            with safe_loading():
                return CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')
        except URLError as error:
            raise ValueError(
                f'{checkpoint} cannot be fetched ({error.reason}): download it where that is '
                'possible, and set init_cfg.checkpoint to the file'
            ) from error
    require_pretrained(checkpoint)
    return read_checkpoint(checkpoint)


def _misfit(
    module: nn.Module, checkpoint: str, missing: list[str], total: int, state: Mapping[str, Tensor]
) -> str:
    """The error for missing entries, with the likely reason."""
    found = ', '.join(list(state)[:3]) or 'none'
    hint = HOW_TO_GET
    if any(key.startswith('backbone.') for key in state):
        hint = "it looks like a whole model: add prefix='backbone.' to the init_cfg"
    return (
        f'{checkpoint} lacks {len(missing)} of the {total} entries of {type(module).__name__} '
        f'(first: {missing[0]}; it holds {found}, ...): {hint}'
    )
