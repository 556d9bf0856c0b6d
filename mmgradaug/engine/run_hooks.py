"""The hooks that tools/train.py adds to a run, whatever its config: nothing is lost or unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.hooks import CheckpointHook, DistSamplerSeedHook
from mmengine.registry import HOOKS

from ..type_names import builds
from .loading import emptied

# Hooks of mmengine that ours extend, by their place in `default_hooks`.
EXTENDED = {
    'sampler_seed': (DistSamplerSeedHook, 'ReproducibleHook'),
    'checkpoint': (CheckpointHook, 'SafeCheckpointHook'),
}
ADDED = {
    'bad_images': 'BadImagesHook',
    'pending_validation': 'PendingValidationHook',
    'versions': 'VersionsHook',
}


def hook_options(cfg: Config) -> list[str]:
    """Command-line options that put our hooks in the place of those they extend.

    Their options stay as configured. A hook that the user took out, or replaced by one of
    another type, is left alone.

    Args:
        cfg: A run's config.

    Returns:
        Words to append to the command line of mmdet's tools/train.py.
    """
    hooks = cfg.get('default_hooks') or {}
    options: list[str] = []
    for place, (stock, ours) in EXTENDED.items():
        if builds(hooks.get(place, {'type': stock}), stock, HOOKS):
            options.append(f'default_hooks.{place}.type={ours}')
    if 'checkpoint' not in hooks:
        options.append('default_hooks.checkpoint.interval=1')  # mmengine's default
    options += [o for place in ADDED for o in _added(hooks, place)]
    return _words(cfg, options)


def hook_options_of_testing(cfg: Config) -> list[str]:
    """As :func:`hook_options`, for the one hook that mmdet's tools/test.py needs."""
    return _words(cfg, _added(cfg.get('default_hooks') or {}, 'bad_images'))


def _added(hooks: Mapping[str, Any], place: str) -> list[str]:
    """Options that add a hook, unless the user took it out or put another there."""
    there = hooks.get(place, {})
    return (
        [] if there is None or 'type' in there else [f'default_hooks.{place}.type={ADDED[place]}']
    )


def _words(cfg: Config, options: list[str]) -> list[str]:
    """Options as words of a command line, with what they need."""
    if not options:
        return []
    return ['--cfg-options', *emptied(cfg, 'default_hooks'), *options, *_import_options(cfg)]


def _import_options(cfg: Config) -> list[str]:
    """Options by which the config that a run dumps imports our hooks, too."""
    custom = cfg.get('custom_imports') or {}
    imports = custom.get('imports') or []
    imports = [imports] if isinstance(imports, str) else list(imports)
    if any(name.split('.')[0] == 'mmgradaug' for name in imports):
        return []
    names = ','.join([*imports, 'mmgradaug'])
    failing = bool(custom.get('allow_failed_imports', True))  # plain models need us for nothing
    options = [f'imports={names}', f'allow_failed_imports={failing}']
    return [*emptied(cfg, 'custom_imports'), *(f'custom_imports.{option}' for option in options)]
