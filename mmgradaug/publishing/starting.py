"""A detector that starts from a published backbone: every entry compared, its first steps."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from torch import Tensor

from ..engine.checkpoint_loading import load_checkpoint, register_safe_loading, weights_of
from ..engine.checks import check_pretrained
from ..engine.console import no_init_log


def start_detector(cfg: Config, backbone: Path, seed: int = 0) -> tuple[Any, int]:
    """Build a config's detector with initial weights and compare its backbone with a file.

    Args:
        cfg: The config, whose ``model.backbone.init_cfg`` names the file.
        backbone: The file.
        seed: Of the weights of the other layers.

    Returns:
        The detector, and how many entries its backbone has, all of which hold the file's values.

    Raises:
        FileNotFoundError, ValueError: If the weights are not there or do not fit.
        RuntimeError: If the detector's backbone holds other values.
    """
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    torch.manual_seed(seed)
    detector = MODELS.build(copy.deepcopy(cfg.model))
    register_safe_loading()
    check_pretrained(detector)
    with no_init_log():
        detector.init_weights()
    return detector, matching_entries(detector.backbone.state_dict(), backbone)


def first_losses(cfg: Config, detector: Any, steps: int, seed: int = 0) -> list[float]:
    """Losses of a detector's first training steps on its config's data.

    Args:
        cfg: The detector's config.
        detector: The detector, which these steps change.
        steps: How many.
        seed: Of the order of the data and of what the steps draw.
    """
    torch.manual_seed(seed)
    optim_wrapper = build_optim_wrapper(detector.train(), cfg.optim_wrapper)
    batches = iter(Runner.build_dataloader(cfg.train_dataloader, seed=seed))
    logs = [detector.train_step(next(batches), optim_wrapper) for _ in range(steps)]
    return [float(log['loss']) for log in logs]


def matching_entries(state: Mapping[str, Tensor], backbone: Path) -> int:
    """How many entries of a backbone hold the values of a file.

    Raises:
        RuntimeError: If not all do.
    """
    published = weights_of(load_checkpoint(backbone))
    other = [k for k, v in state.items() if k not in published or not torch.equal(published[k], v)]
    if other:
        raise RuntimeError(
            f'{len(other)} of {len(state)} entries of the backbone differ from {backbone} (first: '
            f'{other[0]}), expected none: mmengine loaded other weights than were published'
        )
    return len(state)
