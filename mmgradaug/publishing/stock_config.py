"""Turn the config of a GradAug run into one that needs mmdet alone."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import mmengine.registry
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.model import PretrainedInit
from mmengine.registry import MODELS, WEIGHT_INITIALIZERS, Registry

from ..backbones.resnet import OWN_OPTIONS
from ..training import GradAugMixin
from ..type_names import builds, class_of, type_name

PACKAGE = __name__.split('.')[0]
# Of this project, or of the machine that the run was on.
DROPPED = ('gradaug', 'data_help', 'work_dir', 'launcher', 'local_rank', 'resume', 'load_from')

_GONE = object()


def stock_config(cfg: Config) -> Config:
    """The same detector, data and recipe without mmgradaug.

    Detector and backbone get their stock types back; sub-networks, hooks and wrappers of this
    package go. Pretrained weights go too, since a published checkpoint replaces them. Whatever
    else the config has stays.

    Args:
        cfg: Config of a run; one without GradAug is fine. It is not changed.

    Raises:
        ValueError: If it uses a class of this package that has no stock counterpart, or a user's
            own that trains sub-networks.
    """
    ours = registered_here()
    _refuse_users_own(cfg.get('model'), ours)
    values = {k: v for k, v in copy.deepcopy(cfg.to_dict()).items() if k not in DROPPED}
    _drop_imports(values)
    _drop_wrapper(values, ours)
    for key in ('custom_hooks', 'default_hooks'):
        if values.get(key):
            values[key] = _stock_hooks(values[key], ours)
    values['model'] = _without_pretrained(_stock(values.get('model'), ours))
    left = next(_uses(values, ours), None)
    if left is not None:
        raise ValueError(
            f'{left[0]}.type={left[1]!r} is of {PACKAGE} and has no counterpart in mmdet: take it '
            'out of the config and give that with --config'
        )
    return Config(values)


def _refuse_users_own(model: Any, ours: Mapping[str, type]) -> None:
    """Raise on a model whose class extends one of this package: only its author knows the rest."""
    kind = model.get('type') if isinstance(model, Mapping) else None
    found = class_of(kind, MODELS)
    if found is not None and issubclass(found, GradAugMixin) and not _is_ours(model, ours):
        raise ValueError(
            f'model.type={type_name(kind)!r} is a class of your own that extends one of {PACKAGE}, '
            'expected GradAugDetector: give the config of the stock detector with --config if your '
            'class changes training alone'
        )


def stock_backbone(options: Mapping[str, Any]) -> dict[str, Any]:
    """A backbone's config without slimmable layers, starting from random weights.

    It is mmdet's where that has such a network, and otherwise the plain one of this package.
    """
    return _without_pretrained(_stock(copy.deepcopy(dict(options)), registered_here()))


def registered_here() -> dict[str, type]:
    """Every class that this package registered with mmengine or mmdet, by its name."""
    found: dict[str, type] = {}
    pending = [r for r in vars(mmengine.registry).values() if isinstance(r, Registry)]
    while pending:
        registry = pending.pop()
        pending += registry.children.values()
        for name, member in registry.module_dict.items():
            if inspect.isclass(member) and member.__module__.split('.')[0] == PACKAGE:
                found[name] = member
    return found


def _is_ours(value: Any, ours: Mapping[str, type]) -> bool:
    """Whether a config entry builds an instance of a class of this package."""
    if not isinstance(value, Mapping) or value.get('type') is None:
        return False
    path = str(getattr(value['type'], '__module__', value['type']))
    return path.split('.')[0] == PACKAGE or type_name(value['type']) in ours


def _stock(value: Any, ours: Mapping[str, type]) -> Any:
    """A model config with detectors and backbones of this package replaced by stock ones."""
    if isinstance(value, (list, tuple)):
        return type(value)(_stock(item, ours) for item in value)
    if not isinstance(value, Mapping):
        return value
    plain = {key: _stock(item, ours) for key, item in value.items()}
    if not _is_ours(plain, ours):
        return plain
    if type_name(plain['type']) == 'GradAugDetector':
        plain.pop('gradaug', None)
        plain['type'] = type_name(plain.pop('detector'))
    dense = getattr(ours.get(type_name(plain['type'])), 'dense_class', None)
    if dense is not None:
        plain.pop('width_divisor', None)
        if dense.__module__.split('.')[0] != PACKAGE:  # those of this package have the others, too
            _require_silent(plain.get('regulariser'))
            for option in OWN_OPTIONS:
                plain.pop(option, None)
        plain['type'] = dense.__name__
    return plain


def _require_silent(regulariser: Any) -> None:
    """Raise if a network without its regulariser would compute something else."""
    if isinstance(regulariser, Mapping) and regulariser.get('type') == 'ShakeDrop':
        raise ValueError(
            f'model.backbone.regulariser={dict(regulariser)!r} weighs residual branches in '
            'evaluation too, which no stock backbone does: publish a network that was trained '
            'with another regulariser, or with none'
        )


def _without_pretrained(value: Any) -> Any:
    """A model config that starts from random weights where it started from a file."""
    if isinstance(value, (list, tuple)):
        return type(value)(_without_pretrained(item) for item in value)
    if not isinstance(value, Mapping):
        return value
    plain = {key: _without_pretrained(item) for key, item in value.items()}
    init_cfg = plain.get('init_cfg')
    if isinstance(init_cfg, (list, tuple)):
        plain['init_cfg'] = [entry for entry in init_cfg if not _is_pretrained(entry)] or None
    elif _is_pretrained(init_cfg):
        plain['init_cfg'] = None
    if plain.get('pretrained'):
        plain['pretrained'] = None
    return plain


def _is_pretrained(init_cfg: Any) -> bool:
    """Whether an entry of an ``init_cfg`` loads a file."""
    return builds(init_cfg, PretrainedInit, WEIGHT_INITIALIZERS)


def _stock_hooks(hooks: Any, ours: Mapping[str, type]) -> Any:
    """Hooks, as a list or by name, without those of this package.

    One that extends a hook of mmengine's becomes that again, with its options.
    """
    if isinstance(hooks, Mapping):
        stock = {name: _stock_hook(hook, ours) for name, hook in hooks.items()}
        return {name: hook for name, hook in stock.items() if hook is not _GONE}
    return [hook for hook in (_stock_hook(hook, ours) for hook in hooks) if hook is not _GONE]


def _stock_hook(hook: Any, ours: Mapping[str, type]) -> Any:
    """The stock counterpart of a hook, ``_GONE`` if there is none."""
    if not _is_ours(hook, ours):
        return hook
    parents = ours[type_name(hook['type'])].__mro__
    base = next(parent for parent in parents if parent.__module__.split('.')[0] != PACKAGE)
    return _GONE if base is Hook else {**hook, 'type': base.__name__}


def _drop_imports(values: dict[str, Any]) -> None:
    """Import the user's own modules only."""
    imports = values.get('custom_imports') or {}
    names = imports.get('imports') or []
    names = [names] if isinstance(names, str) else names
    kept = [name for name in names if name.split('.')[0] != PACKAGE]
    values.pop('custom_imports', None)
    if kept:
        values['custom_imports'] = {**imports, 'imports': kept}


def _drop_wrapper(values: dict[str, Any], ours: Mapping[str, type]) -> None:
    """Leave the choice of a model wrapper to mmengine, with the same search for unused weights."""
    wrapper = values.get('model_wrapper_cfg') or {}
    if _is_ours(wrapper, ours):
        del values['model_wrapper_cfg']
        if wrapper.get('find_unused_parameters'):
            values['find_unused_parameters'] = True


def _uses(value: Any, ours: Mapping[str, type], key: str = '') -> Iterator[tuple[str, Any]]:
    """Key and type of every entry of a config that needs this package."""
    items: Any = ()
    if isinstance(value, (dict, ConfigDict)):
        items = value.items()
        if _is_ours(value, ours):
            yield key, type_name(value['type'])
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    for name, item in items:
        yield from _uses(item, ours, f'{key}.{name}' if key else str(name))
