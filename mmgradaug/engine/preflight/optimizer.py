"""Options of the optimizer, which torch and mmengine look at once everything else is built."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import OPTIMIZERS
from torch import nn

from ...errors import closest
from ...type_names import class_of
from ..error_text import message_of


def check_optimizer(cfg: Config) -> None:
    """Raise if the optimizer is unknown, or a number that it is given is out of its range.

    Raises:
        ValueError: With the config key, its value and what was expected.
    """
    wrapper = cfg.get('optim_wrapper')
    if not isinstance(wrapper, Mapping):
        return
    _check_wrapper(wrapper)
    options = wrapper.get('optimizer')
    if not isinstance(options, Mapping) or 'constructor' in wrapper:
        return  # mmengine says so, or a constructor knows what it makes of them
    kind = options.get('type')
    optimizer = class_of(kind, OPTIMIZERS)
    if optimizer is not None:
        _check_options(optimizer, {k: v for k, v in options.items() if k != 'type'})
    elif isinstance(kind, str) and OPTIMIZERS.get(kind) is None:
        meant = closest(kind, OPTIMIZERS.module_dict) or 'SGD or AdamW'
        raise ValueError(
            f'optim_wrapper.optimizer.type={kind!r} is not a registered optimizer, expected a name '
            f'such as {meant}'
        )


def _check_wrapper(wrapper: Mapping[str, Any]) -> None:
    """Raise on numbers by which a run would learn nothing, or climb its loss."""
    clip = wrapper.get('clip_grad')
    for name in ('max_norm', 'clip_value'):
        value = clip.get(name) if isinstance(clip, Mapping) else None
        if value is not None and not (_is_number(value) and value > 0):
            raise ValueError(
                f'optim_wrapper.clip_grad.{name}={value!r}, expected a number > 0: the largest '
                'gradient that is left as it is, or clip_grad=None for no clipping'
            )
    counts = wrapper.get('accumulative_counts', 1)
    if not isinstance(counts, int) or isinstance(counts, bool) or counts < 1:
        raise ValueError(
            f'optim_wrapper.accumulative_counts={counts!r}, expected a whole number >= 1: batches '
            'for each step of the optimizer'
        )


def _check_options(optimizer: type, options: Mapping[str, Any]) -> None:
    """Raise if an optimizer does not take its options, by its own checks where it is torch's."""
    for name, value in options.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f'optim_wrapper.optimizer.{name}={value}, expected a finite number')
        if isinstance(value, str) and _takes_number(optimizer, name):
            raise ValueError(
                f'optim_wrapper.optimizer.{name}={value!r}, expected a number such as 0.01, '
                'without quotes'
            )
    if not optimizer.__module__.startswith('torch.optim.'):
        return  # others may need more than a parameter to try them on
    try:
        optimizer([nn.Parameter(torch.zeros(1))], **options)
    except Exception as error:  # wrong types fail in comparisons
        raise ValueError(
            f'optim_wrapper.optimizer: {message_of(error)}, expected options as '
            f'torch.optim.{optimizer.__name__} takes them, got {dict(options)}: correct them'
        ) from error


def _takes_number(optimizer: type, name: str) -> bool:
    """Whether an option of an optimizer is a number."""
    option = inspect.signature(optimizer).parameters.get(name)
    return name == 'lr' or (option is not None and _is_number(option.default))


def _is_number(value: Any) -> bool:
    """Whether a value is a number, infinity included."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value
