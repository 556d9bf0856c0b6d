"""Which of the configs that mmdet ships work with the slimmable backbone and with GradAug."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import mmdet
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from ..type_names import type_name

SLIMMABLE = {name: f'Slimmable{name}' for name in ('ResNet', 'ResNetV1d', 'ResNeXt')}


@dataclass(frozen=True)
class ShippedConfig:
    """A config of the installed mmdet.

    Attributes:
        name: Path below mmdet's folder of configs; its first part is the family.
        model: The model config, None where the file does not load.
        reason: Why it does not.
    """

    name: str
    model: Any
    reason: str = ''

    @property
    def family(self) -> str:
        """The folder it is in, which mmdet names after a method."""
        return Path(self.name).parts[0]


@dataclass(frozen=True)
class Swap:
    """What came of putting the slimmable backbone into a config.

    Attributes:
        config: Name of the config.
        backbone: Type of its stock backbone, of the first where it has several.
        swapped: Whether it builds and takes the stock backbone's state dict strictly.
        reason: Why not.
    """

    config: str
    backbone: str
    swapped: bool
    reason: str = ''


def config_folder() -> Path:
    """Where the installed mmdet keeps its configs.

    Raises:
        FileNotFoundError: If this mmdet has none.
    """
    package = Path(mmdet.__file__).parent
    candidates = [package / '.mim' / 'configs', package.parent / 'configs']
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f'mmdet {mmdet.__version__} has no configs in {" or ".join(map(str, candidates))}: install '
        'it with pip, which puts them there'
    )


def shipped_configs(families: Sequence[str] = ('*',)) -> Iterator[ShippedConfig]:
    """Every config of the installed mmdet that describes a model, or does not load.

    Args:
        families: Patterns, as of file names, that a config's family has to match one of.
    """
    folder = config_folder()
    for path in sorted(folder.rglob('*.py')):
        name = path.relative_to(folder)
        wanted = any(fnmatch(name.parts[0], pattern) for pattern in families)
        if '_base_' in name.parts or not wanted:
            continue
        try:
            cfg = Config.fromfile(path)
        except Exception as error:  # other people's files may fail in any way
            yield ShippedConfig(str(name), None, one_line(error))
            continue
        if 'model' in cfg:
            yield ShippedConfig(str(name), cfg.model)


def resnet_keys(model: Any, key: str = '') -> list[str]:
    """Config keys of all backbones that :data:`SLIMMABLE` has, at any depth."""
    if isinstance(model, (list, tuple)):
        return [k for i, v in enumerate(model) for k in resnet_keys(v, f'{key}{i}.')]
    if not isinstance(model, dict):
        return []
    found = []
    for name, value in model.items():
        if name == 'backbone' and isinstance(value, dict) and _is_resnet(value.get('type')):
            found.append(f'{key}backbone')
        else:
            found += resnet_keys(value, f'{key}{name}.')
    return found


def swapped_model(model: Any) -> Any:
    """The model config with every ResNet replaced by its slimmable counterpart, unpretrained."""
    holder = Config({'model': copy.deepcopy(model)})
    for key in resnet_keys(model):
        backbone = _at(holder.model, key)
        backbone['type'] = SLIMMABLE[type_name(backbone['type'])]
        backbone['init_cfg'] = None
        backbone.pop('pretrained', None)
    return holder.model


def load_stock_backbones(detector: nn.Module, model: Any) -> None:
    """Load the state dict of each stock backbone of a model config into its slimmable counterpart.

    Args:
        detector: The detector of :func:`swapped_model`.
        model: The stock config.

    Raises:
        RuntimeError: If a key or a shape differs.
    """
    for key in resnet_keys(model):
        stock = MODELS.build({**_at(model, key), 'init_cfg': None})
        detector.get_submodule(key).load_state_dict(stock.state_dict(), strict=True)


def try_swap(config: ShippedConfig) -> Swap:
    """Build a config with the slimmable backbone and load the stock backbone's state dict.

    All on torch's meta device: keys and shapes are checked, no weights are made.
    """
    init_default_scope('mmdet')
    keys = resnet_keys(config.model)
    backbone = type_name(_at(config.model, keys[0])['type'])
    try:
        swapped = swapped_model(config.model)
        with torch.device('meta'):
            for key in keys:
                stock = {**_at(config.model, key), 'init_cfg': None}
                slim = MODELS.build(copy.deepcopy(_at(swapped, key)))
                slim.load_state_dict(MODELS.build(stock).state_dict(), strict=True)
    except Exception as error:  # other people's configs may fail in any way
        return Swap(config.name, backbone, False, one_line(error))
    return Swap(config.name, backbone, True)


def plainest_first(configs: Sequence[ShippedConfig]) -> list[ShippedConfig]:
    """Configs in the order to try them: up to 50 layers first, no groups, the shortest name."""

    def rank(config: ShippedConfig) -> tuple[bool, bool, int, str]:
        backbones = [_at(config.model, key) for key in resnet_keys(config.model)]
        deep = any(backbone.get('depth', 50) > 50 for backbone in backbones)
        grouped = any(type_name(backbone['type']) == 'ResNeXt' for backbone in backbones)
        return deep, grouped, len(config.name), config.name

    return sorted(configs, key=rank)


def one_line(error: BaseException, limit: int = 160) -> str:
    """An error as a cell of a table."""
    package = Path(mmdet.__file__).parent
    text = str(error).replace(str(package), 'mmdet').replace(f'{package.parent}/', '')
    text = text.partition(', the current sys.path is')[0]  # mmengine's, on failed imports
    text = re.sub(r'(^|[\s"\'(])/(?:[^\s"\'/]+/)+', r'\1', text)  # folders of this machine
    text = ' '.join(f'{type(error).__name__}: {text}'.split()).replace('|', '/')
    return text if len(text) <= limit else f'{text[: limit - 3]}...'


def _is_resnet(kind: Any) -> bool:
    """Whether a type is one of :data:`SLIMMABLE`, of mmdet's and of no other package's."""
    scope = kind.rpartition('.')[0] if isinstance(kind, str) else 'mmdet'
    return type_name(kind) in SLIMMABLE and scope.partition('.')[0] in ('', 'mmdet')


def _at(config: Any, key: str) -> Any:
    """The value at a dotted key."""
    for part in key.split('.'):
        config = config[int(part)] if isinstance(config, (list, tuple)) else config[part]
    return config
