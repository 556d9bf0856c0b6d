"""Turn the config of a GradAug run into one that needs mmdet alone."""

import inspect
import re
from collections.abc import Mapping
from typing import Any

import mmengine.registry
from mmdet.evaluation import CocoMetric
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import PretrainedInit
from mmengine.registry import WEIGHT_INITIALIZERS, Registry
from torch import nn

from ..errors import ConfigError
from ..type_names import builds, type_name

PACKAGE = __name__.split('.')[0]
# Of this project, or of the machine that the run was on.
DROPPED = ('gradaug', 'data_help', 'work_dir', 'launcher', 'local_rank', 'resume', 'load_from')

_GONE = object()


def stock_config(cfg: Config) -> Config:
    """Return the config of the same detector, data and recipe without mmgradaug.

    Detector and backbone get their stock types back; sub-networks, hooks and wrappers of this
    package go. Pretrained weights go too, since a published checkpoint replaces them. Whatever
    else the config has stays.

    Raises:
        ConfigError: If it uses a class of this package that has no stock counterpart.
    """
    ours = registered_here()
    values = {k: v for k, v in cfg.to_dict().items() if k not in DROPPED}
    imports = values.pop('custom_imports', None) or {'imports': []}
    names = [imports['imports']] if isinstance(imports['imports'], str) else imports['imports']
    if others := [name for name in names if name.split('.')[0] != PACKAGE]:
        values['custom_imports'] = {**imports, 'imports': others}
    wrapper = values.get('model_wrapper_cfg') or {}
    if type_name(wrapper.get('type')) in ours:
        del values['model_wrapper_cfg']
    return Config({key: _stock(value, ours, key) for key, value in values.items()})


def stock_backbone(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a backbone's config without slimmable layers, starting from random weights.

    It is mmdet's network, or the plain one of this package where mmdet has none.
    """
    return _stock(Config(dict(options)).to_dict(), registered_here(), 'model.backbone')


def registered_here() -> dict[str, type]:
    """Return every class that this package registered with mmengine or mmdet, by its name."""
    found: dict[str, type] = {}
    pending = [r for r in vars(mmengine.registry).values() if isinstance(r, Registry)]
    while pending:
        registry = pending.pop()
        pending += registry.children.values()
        for name, member in registry.module_dict.items():
            if inspect.isclass(member) and member.__module__.split('.')[0] == PACKAGE:
                found[name] = member
    return found


def _stock(value: Any, ours: Mapping[str, type], key: str) -> Any:
    """Return a part of a config (at ``key``) with the classes of this package replaced.

    It is ``_GONE`` for a hook without stock counterpart and for pretrained weights.
    """
    if isinstance(value, (list, tuple)):
        items = [_stock(item, ours, f'{key}.{index}') for index, item in enumerate(value)]
        return type(value)(item for item in items if item is not _GONE)
    if not isinstance(value, Mapping):
        return value
    if builds(value, PretrainedInit, WEIGHT_INITIALIZERS):
        return _GONE
    kind = type_name(value.get('type'))
    if re.match(r'(mmdet|mmcv|mmengine|torch)\.\w+\.', str(value.get('type'))):
        value = {**value, 'type': kind}  # of a Python-style config: registered by its name
    if kind == 'GradAugDetector':
        kept = {k: v for k, v in value.items() if k not in ('gradaug', 'detector')}
        value = {**kept, 'type': type_name(value['detector'])}
    plain = {name: _stock(item, ours, f'{key}.{name}') for name, item in value.items()}
    if plain.get('init_cfg') in (_GONE, []):
        plain['init_cfg'] = None
    if plain.get('pretrained'):
        plain['pretrained'] = False if plain['pretrained'] is True else None  # of timm's networks
    plain = {name: item for name, item in plain.items() if item is not _GONE}
    found = ours.get(type_name(plain.get('type')))
    if stock := getattr(found, 'stock_cls', None):
        return _stock_network(plain, stock)
    if found is None or issubclass(found, nn.Module):
        return plain
    base = next(c for c in found.__mro__ if c.__module__.split('.')[0] != PACKAGE)
    if base is Hook:
        return _GONE
    if issubclass(base, (Hook, CocoMetric)):
        return {**plain, 'type': base.__name__}
    raise ConfigError(
        f'{key}.type={kind!r} is of {PACKAGE} and has no counterpart in mmdet: take it out of the '
        'config and give that with --config'
    )


def _stock_network(options: dict[str, Any], dense: type) -> dict[str, Any]:
    """Return the config of the network that a slimmable one becomes."""
    options.pop('width_divisor', None)
    if dense.__module__.split('.')[0] != PACKAGE:  # mmdet's has no regularisers
        regulariser = options.pop('regulariser', None) or {}
        if regulariser.get('type') == 'ShakeDrop':
            raise ConfigError(
                f'model.backbone.regulariser={regulariser!r} weighs residual branches in '
                'evaluation too, which no stock backbone does: publish a network trained without it'
            )
    return {**options, 'type': dense.__name__}
