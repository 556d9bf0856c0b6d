"""A published backbone in a detector: whether all of it arrives, and whether it trains there."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from torch import Tensor

from ..checkpoints.reading import read_checkpoint, weights_of
from ..checkpoints.safe_loading import safe_loading
from ..engine.preflight import check_weights


@dataclass(frozen=True)
class Handover:
    """A detector with a published backbone.

    Attributes:
        cfg: Its config, which names the backbone's file.
        detector: It, with the published weights.
        matched: Entries of its backbone that hold the published values, which is all of them.
    """

    cfg: Config
    detector: Any
    matched: int

    @property
    def option(self) -> str:
        """The one line of its config that names the file."""
        return f'model.backbone.init_cfg={self.cfg.model.backbone.init_cfg}'

    def first_losses(self, steps: int) -> list[float]:
        """Losses of its first training steps on its config's data."""
        torch.manual_seed(0)
        optim_wrapper = build_optim_wrapper(self.detector.train(), self.cfg.optim_wrapper)
        batches = iter(Runner.build_dataloader(self.cfg.train_dataloader, seed=0))
        logs = [self.detector.train_step(next(batches), optim_wrapper) for _ in range(steps)]
        return [float(log['loss']) for log in logs]


def hand_over(backbone: Path, cfg: Config) -> Handover:
    """Build a detector with a published backbone, and compare every entry.

    Args:
        backbone: The file.
        cfg: The detector's config; the file is named in it.

    Raises:
        FileNotFoundError, ValueError: If the weights are not there or do not fit.
        RuntimeError: If the detector's backbone holds other values.
    """
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=str(backbone))
    check_weights(cfg)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)  # of the other layers
    detector = MODELS.build(cfg.model)
    logging.disable(logging.INFO)  # mmengine lists every parameter
    try:
        with safe_loading():
            detector.init_weights()
    finally:
        logging.disable(logging.NOTSET)
    return Handover(cfg, detector, matching_entries(detector.backbone.state_dict(), backbone))


def matching_entries(state: Mapping[str, Tensor], backbone: Path) -> int:
    """How many entries of a backbone hold the values of a file.

    Raises:
        RuntimeError: If not all do.
    """
    published = weights_of(read_checkpoint(backbone), backbone)
    other = [k for k, v in state.items() if k not in published or not torch.equal(published[k], v)]
    if other:
        raise RuntimeError(
            f'{len(other)} of {len(state)} entries of the backbone differ from {backbone} (first: '
            f'{other[0]}), expected none: mmengine loaded other weights than were published'
        )
    return len(state)
