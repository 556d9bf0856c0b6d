"""Find out before a run starts that something it needs is missing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from ..backbones.pretrained import HOW_TO_GET, check_pretrained, pretrained_of

DEFAULT_DATA_HELP = (
    'get the data set, or set data_root to where it is (--cfg-options, or the config)'
)


def check_run(cfg: Config, loops: tuple[str, ...]) -> None:
    """Raise if data or pretrained weights that a run is about to read are not there.

    Args:
        cfg: The run's config.
        loops: Of ``'train'``, ``'val'`` and ``'test'``, those that will run.

    Raises:
        FileNotFoundError: With the path expected, the config key that names it, and the fix.
        ValueError: If a local pretrained file does not fit the backbone.
    """
    check_data(cfg, loops)
    if 'train' in loops:
        _check_pretrained_files(cfg.get('model'), 'model')
        _check_backbone_weights(cfg)


def check_data(cfg: Config, loops: tuple[str, ...]) -> None:
    """Raise if an annotation file or image folder is not there.

    Args:
        cfg: The run's config. ``data_help`` in it may say how to get its data set.
        loops: Of ``'train'``, ``'val'`` and ``'test'``, those that will run.

    Raises:
        FileNotFoundError: With the path expected, the config key that names it, and the fix.
    """
    for loop in loops:
        loader = cfg.get(f'{loop}_dataloader') or {}
        for key, path in _data_files(loader.get('dataset'), f'{loop}_dataloader.dataset'):
            if not path.exists():
                raise FileNotFoundError(
                    f'no data at {path.absolute()} ({key}): {DEFAULT_DATA_HELP}{_data_help(cfg)}'
                )


def _data_help(cfg: Config) -> str:
    """How to get the data set that a config of this repository was written for."""
    return f'; for the one this config inherits: {cfg.data_help}' if 'data_help' in cfg else ''


def _check_backbone_weights(cfg: Config) -> None:
    """Raise if a local pretrained file does not fit the backbone, slimmable or not."""
    backbone = cfg.get('model', {}).get('backbone')
    pretrained = pretrained_of((backbone or {}).get('init_cfg'))
    if pretrained is None or '://' in pretrained['checkpoint']:
        return
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    with torch.device('meta'):
        network = MODELS.build(backbone)
    check_pretrained(network, pretrained['checkpoint'], pretrained.get('prefix'))


def _data_files(dataset: Any, key: str) -> Iterator[tuple[str, Path]]:
    """Local annotation files and image folders that a data set config names."""
    if isinstance(dataset, (list, tuple)):
        for index, entry in enumerate(dataset):
            yield from _data_files(entry, f'{key}.{index}')
        return
    if not isinstance(dataset, Mapping):
        return
    for wrapped in ('dataset', 'datasets'):  # RepeatDataset, ConcatDataset, ...
        yield from _data_files(dataset.get(wrapped), f'{key}.{wrapped}')
    backend = (dataset.get('backend_args') or {}).get('backend', 'local')
    if backend not in ('local', 'LocalBackend'):
        return  # not on a disk that could be looked at
    root = dataset.get('data_root') or ''
    named = {'ann_file': dataset.get('ann_file'), **_prefixes(dataset)}
    for name, value in named.items():
        joined = os.path.join(root, value) if isinstance(value, str) and value else ''
        if joined and '://' not in joined:
            yield f'{key}.{name}', Path(joined)


def _prefixes(dataset: Mapping) -> dict[str, Any]:
    """Folders of a data set's ``data_prefix``, by config key."""
    prefixes = dataset.get('data_prefix') or {}
    return {f'data_prefix.{name}': value for name, value in prefixes.items()}


def _check_pretrained_files(cfg: Any, key: str) -> None:
    """Raise if a local pretrained file named anywhere in a model config is missing."""
    if not isinstance(cfg, Mapping):
        return
    pretrained = pretrained_of(cfg.get('init_cfg'))
    if pretrained is not None and '://' not in pretrained['checkpoint']:
        path = Path(pretrained['checkpoint']).expanduser()
        if not path.is_file():
            raise FileNotFoundError(
                f'no pretrained weights at {path.absolute()} ({key}.init_cfg.checkpoint): '
                f'{HOW_TO_GET}'
            )
    for name, value in cfg.items():
        _check_pretrained_files(value, f'{key}.{name}')
