"""Options of data loaders; torch stumbles over some of them only once a run has started."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config


def check_loaders(cfg: Config, loops: tuple[str, ...]) -> None:
    """Raise if a data loader's options are of another type, or out of their range.

    Args:
        cfg: The run's config.
        loops: Of ``'train'``, ``'val'`` and ``'test'``, those that will run.

    Raises:
        ValueError: With the config key, its value and what was expected.
    """
    for loop in loops:
        key = f'{loop}_dataloader'
        loader = cfg.get(key)
        if loader is None or not isinstance(loader, Mapping):
            continue  # no such loop, or a loader that somebody built
        for fault in _faults(loader):
            raise ValueError(f'{key}.{fault}')


def _faults(loader: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a loader's options."""
    for name in ('dataset', 'sampler'):
        if not loader.get(name) or isinstance(loader[name], (str, bool, int, float)):
            yield f'{name} is {loader.get(name)!r}, expected the config of a {name}'
    if not _is_whole(loader.get('batch_size', 1), 1):
        yield f'batch_size is {loader["batch_size"]!r}, expected a whole number of images >= 1'
    if 'batch_size' not in loader and loader.get('batch_sampler'):
        yield 'batch_size is missing, expected a whole number >= 1: batch_sampler needs it'
    workers = loader.get('num_workers', 0)
    if not _is_whole(workers, 0):
        yield f'num_workers is {workers!r}, expected a whole number of processes >= 0'
    for name, least in (('persistent_workers', None), ('prefetch_factor', 1)):
        value = loader.get(name)
        if value and not workers:
            yield (
                f'{name} is {value!r} without worker processes, expected num_workers >= 1: set '
                f'it, or {name}={"False" if least is None else "None"}'
            )
        if value is not None and least is not None and not _is_whole(value, least):
            yield f'{name} is {value!r}, expected None or a whole number of batches >= {least}'


def _is_whole(value: Any, least: int) -> bool:
    """Whether a value is a whole number of at least ``least``."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
