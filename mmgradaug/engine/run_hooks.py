"""The hooks that tools/train.py adds to a run, whatever its config: nothing is lost or unknown."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config
from mmengine.hooks import CheckpointHook, DistSamplerSeedHook

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
    options = []
    for place, (stock, ours) in EXTENDED.items():
        if _is_stock(hooks.get(place, {'type': stock}), stock):
            options.append(f'default_hooks.{place}.type={ours}')
    if 'checkpoint' not in hooks:
        options.append('default_hooks.checkpoint.interval=1')  # mmengine's default
    for place, ours in ADDED.items():
        if 'type' not in (hooks.get(place) or {}):
            options.append(f'default_hooks.{place}.type={ours}')
    return ['--cfg-options', *options, *_import_options(cfg)] if options else []


def _is_stock(hook: Any, stock: type) -> bool:
    """Whether a hook is configured to be mmengine's own."""
    return isinstance(hook, dict) and hook.get('type') in (stock, stock.__name__)


def _import_options(cfg: Config) -> list[str]:
    """Options by which the config that a run dumps imports our hooks, too."""
    custom = cfg.get('custom_imports') or {}
    imports = custom.get('imports') or []
    imports = [imports] if isinstance(imports, str) else list(imports)
    if any(name.split('.')[0] == 'mmgradaug' for name in imports):
        return []
    names = ','.join([*imports, 'mmgradaug'])
    failing = bool(custom.get('allow_failed_imports', True))  # plain models need us for nothing
    return [f'custom_imports.imports={names}', f'custom_imports.allow_failed_imports={failing}']
