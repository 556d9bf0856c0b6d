"""Options of data loaders; torch stumbles over some of them only once a run has started."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from inspect import signature
from typing import Any

from mmengine.config import Config
from torch.utils.data import DataLoader, Dataset, Sampler

from ...errors import closest
from .named_data import leaves


def check_loaders(cfg: Config, loops: tuple[str, ...]) -> None:
    """Raise if an option of a data loader is of another type, or out of its range.

    Args:
        cfg: The run's config.
        loops: Of ``'train'``, ``'val'`` and ``'test'``, those that will run.

    Raises:
        ValueError: With the config key, its value and what was expected.
    """
    for loop in loops:
        loader = cfg.get(f'{loop}_dataloader')
        if isinstance(loader, Mapping):  # not one that somebody built, nor none at all
            for fault in _faults(loader):
                raise ValueError(f'{loop}_dataloader.{fault}')


def _faults(loader: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a loader's options."""
    for name in loader:
        if name not in _OPTIONS:
            meant = closest(str(name), _OPTIONS)
            hint = f'write {meant}' if meant else f'expected some of {", ".join(_OPTIONS)}'
            yield f'{name} is no option of a data loader: {hint}'
    for name, kind in (('dataset', Dataset), ('sampler', Sampler)):
        value = loader.get(name)
        if not isinstance(value, (Mapping, kind)) or value == {}:
            yield f'{name} is {value!r}, expected the config of a {name}: a dict with a type'
    for name, (is_right, expected) in _EXPECTED.items():
        if name in loader and not is_right(loader[name]):
            yield f'{name} is {loader[name]!r}, expected {expected}'
    if 'batch_size' not in loader and loader.get('batch_sampler'):
        yield 'batch_size is missing, expected a whole number >= 1: batch_sampler needs it'
    for name in ('persistent_workers', 'prefetch_factor'):
        if loader.get(name) and not loader.get('num_workers'):
            yield (
                f'{name} is {loader[name]!r} without processes that load: set num_workers >= 1, or '
                f'leave {name} out'
            )
    for dataset, key in leaves(loader['dataset'], 'dataset'):
        if 'times' in dataset and not _at_least(1)(dataset['times']):
            yield f'{key}.times is {dataset["times"]!r}, expected a whole number >= 1'


def _at_least(least: int) -> Callable[[Any], bool]:
    """Whether a value is a whole number of at least ``least``."""
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least


# Of torch's loader, and those that mmengine takes out before it builds one.
_OPTIONS = [name for name in signature(DataLoader.__init__).parameters if name != 'self']
_OPTIONS += ['disable_subprocess_warning', 'num_batch_per_epoch']
_EXPECTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    'batch_size': (_at_least(1), 'a whole number of images >= 1'),
    'num_workers': (_at_least(0), 'a whole number of processes >= 0'),
    'prefetch_factor': (
        lambda value: value is None or _at_least(1)(value),
        'None or a whole number of batches >= 1',
    ),
    'batch_sampler': (
        lambda value: value is None or isinstance(value, (Mapping, Sampler)),
        "None or a dict such as dict(type='AspectRatioBatchSampler')",
    ),
}
