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
from mmengine.registry import MODELS, init_default_scope


def build_model(cfg: Config) -> Any:
    """Build the model of a config on the CPU, silently and without touching random numbers.

    The run will build its own and warn then. Weights are not initialised, which would read
    pretrained files.
    """
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    with torch.random.fork_rng(devices=[]), _silent():
        return MODELS.build(copy.deepcopy(cfg.model))


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
