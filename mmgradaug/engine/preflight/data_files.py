"""Whether the annotation files and image folders that a config names are there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ...errors import path_suggestion
from .named_data import evaluators, is_local, leaves, loader_dataset, prefixes_of

DEFAULT_DATA_HELP = (
    'get the data set, or set data_root to where it is in the config file; the command line takes '
    'data_root of each data set, such as train_dataloader.dataset.data_root, and ann_file of each '
    'evaluator'
)


def check_files(cfg: Config, loops: tuple[str, ...]) -> None:
    """Raise if an annotation file or image folder is not there.

    Args:
        cfg: The run's config. ``data_help`` in it may say how to get its data set.
        loops: Of ``'train'``, ``'val'`` and ``'test'``, those that will run.

    Raises:
        FileNotFoundError: With the path expected, the config key that names it, and the fix.
    """
    for loop in loops:
        named = [*_data_files(*loader_dataset(cfg, loop)), *_evaluator_files(cfg, loop)]
        for key, path in named:
            if not path.exists():
                raise FileNotFoundError(
                    f'no data at {path.absolute()} ({key}){path_suggestion(path)}: '
                    f'{DEFAULT_DATA_HELP}{_data_help(cfg)}{_unread_root(cfg, loops)}'
                )


def _data_help(cfg: Config) -> str:
    """How to get the data set that a config of this repository was written for."""
    return f'; for the one this config inherits: {cfg.data_help}' if 'data_help' in cfg else ''


def _unread_root(cfg: Config, loops: tuple[str, ...]) -> str:
    """A hint where a folder that a config names as ``data_root`` is there, and no data set's."""
    root = cfg.get('data_root')
    if not isinstance(root, str) or not Path(root).is_dir():
        return ''
    sets = [leaf for loop in loops for leaf, _ in leaves(*loader_dataset(cfg, loop))]
    if any(str(leaf.get('data_root')).startswith(root) for leaf in sets):
        return ''
    return (
        f'; data_root={root!r} at the top of a config file does not reach the data sets of its '
        'base, each of which has one of its own'
    )


def _data_files(dataset: Any, key: str) -> Iterator[tuple[str, Path]]:
    """Local annotation files and image folders that a data set config names."""
    for leaf, leaf_key in leaves(dataset, key):
        if not is_local(leaf):
            continue  # not on a disk that could be looked at
        root = leaf.get('data_root')
        root = root if isinstance(root, str) else ''
        named = {'ann_file': leaf.get('ann_file'), **prefixes_of(leaf)}
        if root and not any(named.values()) and not leaf.get('download'):
            yield f'{leaf_key}.data_root', Path(root)  # images in folders, one a class
        for name, value in named.items():
            joined = os.path.join(root, value) if isinstance(value, str) and value else ''
            if joined and '://' not in joined:
                yield f'{leaf_key}.{name}', Path(joined)


def _evaluator_files(cfg: Config, loop: str) -> Iterator[tuple[str, Path]]:
    """Annotation files that evaluators name, with their keys."""
    for _, key, path in evaluators(cfg, loop):
        yield f'{key}.ann_file', path
