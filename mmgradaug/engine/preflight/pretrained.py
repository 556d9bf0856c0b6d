"""Pretrained weights that a model config names: there, and fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from ...backbones.pretrained import check_pretrained, pretrained_of, require_pretrained
from ...type_names import type_name


def check_pretrained_files(model: Any, key: str = 'model') -> None:
    """Raise if a local pretrained file named anywhere in a model config is missing.

    Raises:
        FileNotFoundError: With the path expected, the config key that names it, and the fix.
    """
    if isinstance(model, (list, tuple)):  # of necks, or of a cascade's heads
        for index, part in enumerate(model):
            check_pretrained_files(part, f'{key}.{index}')
    if not isinstance(model, Mapping):
        return
    pretrained = pretrained_of(model.get('init_cfg'))
    if pretrained is not None:
        require_pretrained(pretrained['checkpoint'], f'{key}.init_cfg.checkpoint')
    for name, value in model.items():
        check_pretrained_files(value, f'{key}.{name}')


def check_backbone_weights(cfg: Config) -> None:
    """Raise if a local pretrained file does not fit a ResNet, slimmable or not.

    Other backbones, and ResNets with deformable convolutions or plugins, have layers that
    pretrained files rightly lack.

    Raises:
        ValueError: With what is missing or of another shape.
    """
    backbone = (cfg.get('model') or {}).get('backbone') or {}
    pretrained = pretrained_of(backbone.get('init_cfg'))
    if pretrained is None or '://' in pretrained['checkpoint'] or not _is_plain_resnet(backbone):
        return
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    with torch.device('meta'):
        network = MODELS.build(backbone)
    check_pretrained(network, pretrained['checkpoint'], pretrained.get('prefix'))


def _is_plain_resnet(backbone: Mapping[str, Any]) -> bool:
    """Whether a backbone has a ResNet's layers and no others."""
    kind = type_name(backbone.get('type')).removeprefix('Slimmable')
    added = [backbone.get(option) for option in ('dcn', 'plugins', 'conv_cfg')]
    return kind in ('ResNet', 'ResNetV1d', 'ResNeXt') and not any(added)
