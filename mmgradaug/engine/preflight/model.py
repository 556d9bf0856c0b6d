"""Build a config's model before the run does, so that what it refuses is known at once."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, OPTIMIZERS, init_default_scope

from ...detection import GradAugDetector
from ..errors import closest


def build_model(cfg: Config) -> Any:
    """Build the model of a config on the CPU, silently and without touching random numbers.

    The run will build its own and warn then. Weights are not initialised, which would read
    pretrained files.
    """
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    with torch.random.fork_rng(devices=[]), _silent():
        return MODELS.build(copy.deepcopy(cfg.model))


def check_optimizer(cfg: Config) -> None:
    """Raise if the optimizer is one that nobody knows, which mmengine says in no clear words.

    Raises:
        ValueError: With its name and one close to it.
    """
    wrapper = cfg.get('optim_wrapper') or {}
    kind = (wrapper.get('optimizer') or {}).get('type')
    if not isinstance(kind, str) or 'constructor' in wrapper or OPTIMIZERS.get(kind) is not None:
        return
    meant = closest(kind, OPTIMIZERS.module_dict) or 'SGD or AdamW'
    raise ValueError(
        f'optim_wrapper.optimizer.type={kind!r} is not a registered optimizer, expected a name '
        f'such as {meant}'
    )


def check_subnets(model: GradAugDetector) -> None:
    """Raise if sub-networks would cost a detector time and learn nothing.

    Raises:
        ValueError: With the options that say so.
    """
    idle = model.idle_subnets()
    if idle is not None:
        raise ValueError(idle)


@contextmanager
def _silent() -> Iterator[None]:
    """No warnings and no log."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(level)
