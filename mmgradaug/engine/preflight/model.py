"""Build a config's model before the run does, so that what it refuses is known at once."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn

from ...checkpoints.safe_loading import safe_loading
from ...detection import GradAugDetector
from ..error_text import message_of


def build_model(cfg: Config) -> Any:
    """Build the model of a config on the CPU, silently and without touching torch's random numbers.

    The run will build its own and warn then. Weights are not initialised, which would read
    pretrained files; those of a teacher are read, as data only.
    """
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    with torch.random.fork_rng(devices=[]), _silent(), safe_loading():
        return MODELS.build(copy.deepcopy(cfg.model))


def check_init_cfgs(model: nn.Module) -> None:
    """Raise if a module's ``init_cfg`` is none that mmengine could follow.

    Raises:
        ValueError: With its config key and value.
    """
    for name, module in model.named_modules():
        cfg = getattr(module, 'init_cfg', None)
        for entry in cfg if isinstance(cfg, (list, tuple)) else [cfg] if cfg else []:
            kind = entry.get('type') if isinstance(entry, Mapping) else None
            if not isinstance(kind, str):
                raise ValueError(
                    f'model.{name}.init_cfg={cfg!r}, expected None, a dict or a list of dicts '
                    "such as dict(type='Kaiming', layer='Conv2d')"
                )


def check_features(model: GradAugDetector, in_channels: int = 3) -> None:
    """Raise if a detector's backbone and neck do not work, or not together.

    Args:
        model: The detector.
        in_channels: Channels of its images.

    Raises:
        ValueError: With the channels that the backbone gives.
    """
    images = torch.zeros(1, in_channels, 128, 128)
    training, gives = model.training, ''
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad(), _silent():
            model.eval()
            features = model.backbone(images)
            channels = [feature.size(1) for feature in features if isinstance(feature, Tensor)]
            gives = f', which takes what model.backbone gives: features of {channels} channels'
            if model.with_neck:
                model.neck(features)
    except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f'model.{"neck" if gives else "backbone"} fails on an image of 128 x 128 pixels{gives} '
            f'({type(error).__name__}: {message_of(error)}): correct model.backbone '
            f'{"or model.neck.in_channels" if gives else ""}'.rstrip()
        ) from error
    finally:
        model.train(training)


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
