"""Misspelt keys, in config files and ``--cfg-options``: they would have no effect."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from ..errors import closest
from .errors import warn

_RUNNER = set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'}
# Top-level keys that mmengine, mmdet and this package look for, whether a config has them or not.
KNOWN = _RUNNER | {
    'activation_checkpointing',
    'backend_args',
    'check_annotations',
    'compile',
    'custom_imports',
    'data_help',
    'data_root',
    'dataset_type',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'runner_type',
    'strategy',
    'sync_bn',
    'tta_model',
    'tta_pipeline',
    'vis_backends',
}
# Variables of mmdet's config files, which nothing reads once a config is loaded.
VARIABLES = {'data_root', 'metainfo'}
# Known keys that names of variables resemble: `data_root_2`, `conv_cfg`, `test_pipeline`.
_RESEMBLED = {'backend_args', 'data_root', 'dataset_type', 'env_cfg', 'tta_pipeline'}


def warn_of_file_keys(cfg: Config) -> None:
    """Warn of top-level keys of a config file that look like misspelt ones.

    A warning only: a config file may have variables of any name, code of the user's may read them,
    and in the config that a run writes down nothing shows what they were for.

    Args:
        cfg: The config, before options are merged into it.
    """
    for key in cfg:
        meant = closest(key, KNOWN - _RESEMBLED) if key not in KNOWN else None
        # A name that goes on after a known one, as `val_evaluator_2`, is a variable's.
        if meant and not re.match(rf'{meant}(_|\d)', key):
            warn(
                f'{cfg.filename}: nothing reads the key {key!r}: if {meant!r} is meant, correct '
                'the spelling; if it is a variable, rename it, and nobody asks again'
            )


def check_option_keys(cfg: Config, options: Iterable[str]) -> None:
    """Raise on options that begin with a misspelt key, warn of others that are new and look so.

    New keys are usual (an option that a config leaves at its default), and those that a class does
    not take stop the run later.

    Args:
        cfg: The config, before they are merged into it.
        options: Keys with dots, such as ``'model.backbone.depth'``.

    Raises:
        ValueError: If the first part of a key is unknown and close to a known one, or is a
            variable of a recipe.
    """
    for option in options:
        first, _, rest = option.partition('.')
        if first == 'gradaug':  # a variable of the recipes, already copied into the model
            raise ValueError(
                f'--cfg-options {option}: nothing reads it there: write model.{option}'
            )
        if first in VARIABLES and first in cfg:
            warn(
                f'--cfg-options {option}: a variable of the config file, already copied to where '
                f'it is used, so this changes nothing there: set it in the file, or {first} in '
                f'each place, such as train_dataloader.dataset.{option}'
            )
            continue
        if first in cfg or first in KNOWN:
            _warn_of_new_key(cfg, option)
            continue
        meant = closest(first, [*cfg, *KNOWN])
        if meant:
            raise ValueError(
                f'--cfg-options {option}: the config has no {first!r}, expected a key that it has '
                f'or that mmengine knows: write {".".join(filter(None, [meant, rest]))}'
            )
        warn(
            f'--cfg-options {option}: {first!r} is a key that neither the config nor mmengine has, '
            'so it has no effect unless code of yours reads it'
        )


def _warn_of_new_key(cfg: Config, option: str) -> None:
    """Warn of a key inside the config that is new there and close to one beside it."""
    node: Any = cfg
    for part in option.split('.'):
        if isinstance(node, (list, tuple)) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
            continue
        if not isinstance(node, (Mapping, Config)):
            return
        if part not in node:
            meant = closest(part, node)
            if meant and not part.startswith('_'):
                warn(
                    f'--cfg-options {option}: {part!r} is a new key beside {meant!r}: if that was '
                    'meant, correct the spelling'
                )
            return
        node = node[part]
