"""Check files of weights, pretrained ones and checkpoints, against the network that loads them."""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError

from mmdet.models.backbones import ResNet, ResNetV1d, ResNeXt
from mmengine.config import Config
from mmengine.model import PretrainedInit
from mmengine.registry import WEIGHT_INITIALIZERS
from mmengine.runner import CheckpointLoader, find_latest_checkpoint
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import ConfigError, listed
from ..type_names import builds
from .checkpoint_loading import is_damaged, load_checkpoint, weights_of
from .cli import warn


def check_pretrained(model: nn.Module) -> None:
    """Check the files that ``init_cfg=dict(type='Pretrained', ...)`` of a model's parts names.

    mmengine only warns where keys do not match, and a backbone trains from random weights for
    hours. Networks of other kinds than ResNets have loaders of their own and are not compared.

    Raises:
        ConfigError: If a file is missing, or of another network than the backbone or teacher.
    """
    parts = dict(model.named_modules())
    network: Any = getattr(getattr(model, 'teacher', None), 'network', None)  # of a classifier
    if network is not None:
        parts['teacher.network'] = network
    for name, part in parts.items():
        for entry in _pretrained(part):
            path, key = entry['checkpoint'], '.'.join(filter(None, ['model', name, 'init_cfg']))
            if '://' not in path and not Path(path).expanduser().is_file():
                raise ConfigError(
                    f'no pretrained weights at {Path(path).absolute()} ({key}.checkpoint): put the '
                    f'file there, or set {key}.checkpoint to one that you have, '
                    f"'torchvision://resnet50' say, or {key} to None"
                )
            stock = type(part) in (ResNet, ResNetV1d, ResNeXt)
            known = stock or type(part).__module__.split('.')[0] == 'mmgradaug'
            if name == 'teacher.network' or (name == 'backbone' and known):
                try:
                    loaded = CheckpointLoader.load_checkpoint(path, 'cpu')
                except URLError as error:
                    raise ConfigError(
                        f'{path} ({key}.checkpoint) cannot be downloaded ({error.reason}): set it '
                        f'to a file that you have, or {key} to None'
                    ) from error
                _load(part, loaded, f'{path} ({key})', prefix=entry.get('prefix', ''))


def _pretrained(part: Any) -> list[Mapping[str, Any]]:
    """Return the entries of a part's ``init_cfg`` that name a file."""
    init_cfg: Any = getattr(part, 'init_cfg', None)
    entries = init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]
    return [entry for entry in entries if builds(entry, PretrainedInit, WEIGHT_INITIALIZERS)]


def check_start(cfg: Config, model: Any) -> None:
    """Check the local checkpoint that training resumes, or starts from: then heads may differ.

    Raises:
        ConfigError: If it is of another network, or cannot be resumed.
    """
    path = cfg.get('load_from')
    if cfg.get('resume') and not path:
        path = find_latest_checkpoint(cfg.work_dir)
        if path is not None and is_damaged(path):
            return  # SafeCheckpointHook finds the newest that is whole
    if not path:
        _warn_of_frozen(model)
    elif '://' not in path:
        checkpoint = load_checkpoint(path)
        backbone: Any = getattr(model, 'backbone', None)
        if cfg.get('resume'):
            _load(model, checkpoint, str(path), exactly=True)
            _check_resumed(cfg, Path(path).expanduser(), checkpoint)
        # A user's own may be made to differ.
        elif type(backbone).__module__.split('.')[0] in ('mmdet', 'mmgradaug'):
            _load(backbone, checkpoint, f'{path} (load_from)', prefix='backbone')


def _check_resumed(cfg: Config, path: Path, checkpoint: Mapping[str, Any]) -> None:
    """Raise if a checkpoint lacks what mmengine resumes: it would start that anew in silence."""
    needed = {'message_hub', 'meta', 'optimizer'}
    needed |= {'param_schedulers'} if cfg.get('param_scheduler') else set()
    if not (lacking := needed - checkpoint.keys()):
        return
    fix = 'no file beside it does'
    for other in sorted(path.parent.glob('*.pth'), key=os.path.getmtime):
        with suppress(ConfigError, AttributeError):  # damaged, or no checkpoint
            fix = f'resume from {other}' if load_checkpoint(other).keys() >= needed else fix
    raise ConfigError(
        f'{path} cannot be resumed: it lacks {listed(sorted(lacking))}, as best_*.pth do and '
        f'those of save_optimizer=False or save_param_scheduler=False; {fix}, or set load_from to '
        'start from its weights alone'
    )


def _warn_of_frozen(model: Any) -> None:
    """Warn of random weights, or BatchNorm statistics, of a backbone that training leaves alone."""
    backbone = getattr(model, 'backbone', None)
    if backbone is None or _pretrained(model) or _pretrained(backbone):
        return
    frozen = any(not w.requires_grad and w.dim() > 1 for w in backbone.parameters())
    normed = any(isinstance(layer, _BatchNorm) for layer in backbone.modules())
    trained = {'frozen_stages': -1} if frozen else {}
    trained |= {'norm_eval': False} if normed else {}
    fixes = {k: v for k, v in trained.items() if getattr(backbone, k, v) not in (None, v)}
    if fixes:
        warn(
            'model.backbone.init_cfg names no pretrained weights, but with '
            f'{" and ".join(f"{key}={getattr(backbone, key)}" for key in fixes)} the backbone '
            'keeps what it starts with, which is random: set '
            f'{", ".join(f"{key}={value}" for key, value in fixes.items())}, or init_cfg to weights'
        )


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Load a checkpoint into a model, all of whose weights it has to have, or raise ConfigError."""
    _load(model, load_checkpoint(path), str(path), exactly=True)


def _load(
    network: nn.Module, checkpoint: Any, source: str, prefix: str = '', exactly: bool = False
) -> None:
    """Load weights by torch's own rules, or raise if one is missing or of another shape.

    If not ``exactly``, files of plain networks may lack what others add, such as plugins, and have
    Caffe's biases of convolutions before BatchNorm, and the first convolution may be for images of
    other channels, of which mmengine warns; but entries of parts that the network has must all be
    its own.
    """
    weights: dict[str, Any] = weights_of(checkpoint)
    if prefix:
        start = f'{prefix.removesuffix(".")}.'
        weights = {k.removeprefix(start): v for k, v in weights.items() if k.startswith(start)}
    own, children = network.state_dict(), dict(network.named_children())
    wrong = [k for k, v in weights.items() if k in own and own[k].shape != v.shape]
    other = {key: weights.pop(key) for key in wrong}
    missing, unexpected = network.load_state_dict(weights, strict=False)
    added = 'num_batches_tracked'  # which old files lack
    foreign = []
    if not exactly:
        foreign = [key for key in unexpected if key.split('.')[0] in children]
        foreign = [key for key in foreign if f'{key.removesuffix("bias")}weight' not in own]
        first = next((key for key, value in own.items() if value.dim() == 4), '')
        if first in other and own[first][:, 0].shape == other[first][:, 0].shape:
            del other[first]
            frozen = not network.get_parameter(first).requires_grad
            keeps = ', which frozen_stages keeps: set it to -1' * frozen
            warn(f'{source}: {first} is for other images, and starts from random weights{keeps}')
        places = [f'after_conv{place}_plugin_names' for place in (1, 2, 3)]
        blocks = [vars(block) for block in network.modules()]
        plugins = {name for block in blocks for place in places for name in block.get(place, ())}
        added = '|'.join([added, 'conv_offset', *map(re.escape, plugins)])  # of deformable ones
    misfits = {
        'missing': [k for k in missing if k not in wrong and not re.search(added, k)],
        'of another shape': list(other),
        'unexpected': foreign,
    }
    told = '; '.join(f'{len(k)} {kind} ({listed(k, 3)})' for kind, k in misfits.items() if k)
    if told:
        raise ConfigError(
            f'{source} is of another network than {type(network).__name__}: {told}; use weights '
            "of this config; those of a backbone belong into its init_cfg, with prefix='backbone' "
            'where the file has a whole model'
        )
