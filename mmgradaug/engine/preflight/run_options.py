"""Options of a run at which mmengine or Python stumble without a word on what was configured."""

from __future__ import annotations

import inspect
import logging
import multiprocessing
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import LOOPS, init_default_scope
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, TestLoop, ValLoop

from ...errors import closest
from ...type_names import class_of

_SEEDS = 2**32  # as many as NumPy takes


def check_run_options(cfg: Config, loops: tuple[str, ...]) -> None:
    """Raise if one of a few options of a run, or of its model, is out of its range.

    Args:
        cfg: The run's config.
        loops: Of ``'train'``, ``'val'`` and ``'test'``, those that will run.

    Raises:
        ValueError: With the config key, its value and what was expected.
    """
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    faults = [_run_faults(cfg), _hook_faults(cfg.get('default_hooks'))]
    faults += [_loop_faults(cfg.get(f'{loop}_cfg'), loop) for loop in loops]
    faults.append(_model_faults(cfg.get('model'), 'model'))
    for found in faults:
        for key, value, expected in found:
            raise ValueError(f'{key}={value!r}, expected {expected}')


# What is wrong: config key, its value, and what was expected.
_Faults = Iterator[tuple[str, Any, str]]


def _run_faults(cfg: Config) -> _Faults:
    """Faults of options at the top of a config."""
    seed = _inner(cfg, 'randomness').get('seed')
    if seed is not None and not (isinstance(seed, int) and 0 <= seed < _SEEDS):
        yield 'randomness.seed', seed, f'None or a whole number from 0 to {_SEEDS - 1}'
    base = _inner(cfg, 'auto_scale_lr').get('base_batch_size', 1)
    if not _is_count(base):
        yield 'auto_scale_lr.base_batch_size', base, 'a whole number of images >= 1'
    level = cfg.get('log_level', 'INFO')
    if isinstance(level, str) and not isinstance(logging.getLevelName(level), int):
        yield 'log_level', level, 'one of DEBUG, INFO, WARNING, ERROR and CRITICAL'
    method = _inner(_inner(cfg, 'env_cfg'), 'mp_cfg').get('mp_start_method')
    methods = multiprocessing.get_all_start_methods()
    if method is not None and method not in methods:
        yield 'env_cfg.mp_cfg.mp_start_method', method, f'one of {", ".join(methods)}'


def _hook_faults(hooks: Any) -> _Faults:
    """Faults of ``default_hooks`` that are none."""
    if hooks is not None and not isinstance(hooks, Mapping):
        yield 'default_hooks', hooks, "a dict such as dict(logger=dict(type='LoggerHook'))"
        return
    for place, hook in (hooks or {}).items():
        if hook is not None and not isinstance(hook, (Mapping, Hook)):
            yield f'default_hooks.{place}', hook, "None or a dict such as dict(type='LoggerHook')"


def _loop_faults(options: Any, loop: str) -> _Faults:
    """Faults of a loop's options, which mmengine reads when data and model are already there."""
    if not isinstance(options, Mapping):
        return
    key = f'{loop}_cfg'
    for name in ('max_epochs', 'max_iters', 'val_interval'):
        value = options.get(name, 1)
        whole = isinstance(value, float) and value.is_integer()  # as 1e4
        if not _is_count(int(value) if whole else value):
            yield f'{key}.{name}', value, 'a whole number >= 1'
    if loop == 'train' and not {'type', 'by_epoch'} & set(options):
        yield key, dict(options), "a type such as 'EpochBasedTrainLoop'"
    kind = _loop_class(options, loop)
    known = dict(inspect.signature(kind).parameters) if kind is not None else {}
    if not known or any(p.kind is p.VAR_KEYWORD for p in known.values()):
        return
    takes = [n for n in known if n not in ('runner', 'dataloader', 'evaluator')]
    for name in options:
        if name not in (*takes, 'type', 'by_epoch', '_scope_'):
            meant = closest(str(name), takes)
            hint = f' (perhaps {meant})' if meant else ''
            yield f'{key}.{name}', options[name], f'some of {", ".join(takes)}{hint}'


def _loop_class(options: Mapping[str, Any], loop: str) -> type | None:
    """The class of a loop, as mmengine finds it."""
    if 'type' in options:
        return class_of(options['type'], LOOPS)
    if loop == 'train':
        return EpochBasedTrainLoop if options.get('by_epoch') else IterBasedTrainLoop
    return ValLoop if loop == 'val' else TestLoop


def _model_faults(node: Any, key: str) -> _Faults:
    """Numbers of a model config that have to be counts; in losses, -1 classes are a default."""
    if isinstance(node, (list, tuple)):
        for index, part in enumerate(node):
            yield from _model_faults(part, f'{key}.{index}')
    if not isinstance(node, Mapping):
        return
    for name, value in node.items():
        counts = name in _COUNTS and not key.rpartition('.')[2].startswith('loss')
        if counts and isinstance(value, (int, float)) and not _is_count(value):
            yield f'{key}.{name}', value, _COUNTS[name]
        yield from _model_faults(value, f'{key}.{name}')


_COUNTS = {
    'num_classes': 'a whole number >= 1: as many as metainfo.classes',
    'pad_size_divisor': 'a whole number of pixels >= 1: 1 for no padding, 32 for FPN',
}


def _inner(node: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A dict inside a config; an empty one where there is none."""
    value = node.get(key)
    return value if isinstance(value, Mapping) else {}


def _is_count(value: Any) -> bool:
    """Whether a value is a whole number of at least 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
