"""Data sets and evaluators that a config names, inside whatever wraps them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config


def loader_dataset(cfg: Config, loop: str) -> tuple[Any, str]:
    """The data set config of a loop and its key."""
    return (cfg.get(f'{loop}_dataloader') or {}).get('dataset'), f'{loop}_dataloader.dataset'


def leaves(dataset: Any, key: str) -> Iterator[tuple[Mapping, str]]:
    """Data set configs inside RepeatDataset, ConcatDataset and other wrappers, with keys."""
    if isinstance(dataset, (list, tuple)):
        for index, entry in enumerate(dataset):
            yield from leaves(entry, f'{key}.{index}')
    elif isinstance(dataset, Mapping):
        for wrapped in ('dataset', 'datasets'):
            yield from leaves(dataset.get(wrapped), f'{key}.{wrapped}')
        yield dataset, key


def evaluators(cfg: Config, loop: str) -> Iterator[tuple[Mapping, str, Path]]:
    """Evaluators that name a local annotation file, with their keys."""
    entries: Any = cfg.get(f'{loop}_evaluator') if cfg.get(f'{loop}_dataloader') else None
    listed = isinstance(entries, (list, tuple))
    for index, entry in enumerate(entries if listed else [entries]):
        key = f'{loop}_evaluator.{index}' if listed else f'{loop}_evaluator'
        path = entry.get('ann_file') if isinstance(entry, Mapping) else None
        if isinstance(path, str) and path and is_local(entry):
            yield entry, key, Path(path)


def is_local(config: Mapping) -> bool:
    """Whether a data set, evaluator or transform reads from a disk."""
    options = config.get('backend_args')
    backend = options.get('backend', 'local') if isinstance(options, Mapping) else 'local'
    named = (config.get('data_root'), config.get('ann_file'))
    remote = any(isinstance(value, str) and '://' in value for value in named)
    return backend in ('local', 'LocalBackend') and not remote


def prefixes_of(dataset: Mapping) -> dict[str, Any]:
    """Folders of a data set's ``data_prefix``, by config key."""
    prefixes = dataset.get('data_prefix')
    prefixes = prefixes if isinstance(prefixes, Mapping) else {}
    return {f'data_prefix.{name}': value for name, value in prefixes.items()}
