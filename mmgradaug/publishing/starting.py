"""A detector that starts from a published backbone: every entry compared, its first steps."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from ..engine.checkpoint_loading import load_checkpoint, weights_of


def start_detector(cfg: Config, backbone: Path, seed: int = 0) -> tuple[Any, int]:
    """Build a detector with initial weights, and compare its backbone with a file.

    Args:
        cfg: The detector's config, whose ``model.backbone.init_cfg`` names the file.
        backbone: The file.
        seed: Of the weights of the other layers.

    Returns:
        The detector, and how many entries its backbone has, all of which hold the file's values.

    Raises:
        ConfigError: If the file is missing, or of another network.
        RuntimeError: If the detector's backbone holds other values.
    """
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    torch.manual_seed(seed)
    detector = MODELS.build(copy.deepcopy(cfg.model))
    detector.init_weights()
    state, published = detector.backbone.state_dict(), weights_of(load_checkpoint(backbone))
    other = [k for k, v in state.items() if k not in published or not torch.equal(published[k], v)]
    if other:
        raise RuntimeError(f'{len(other)} entries of the backbone differ from {backbone}: {other}')
    return detector, len(state)


def first_losses(cfg: Config, detector: Any, steps: int, seed: int = 0) -> list[float]:
    """Return the losses of a detector's first training steps, which change it."""
    torch.manual_seed(seed)
    optim_wrapper = build_optim_wrapper(detector.train(), cfg.optim_wrapper)
    batches = iter(Runner.build_dataloader(cfg.train_dataloader, seed=seed))
    logs = [detector.train_step(next(batches), optim_wrapper) for _ in range(steps)]
    return [float(log['loss']) for log in logs]
