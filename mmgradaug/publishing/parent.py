"""The trained model that a sub-network is cut out of."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.model.utils import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from rich.progress import track
from torch import Tensor, nn

from ..checkpoints.safe_loading import safe_loading
from ..engine.preflight import check_data
from .recalibration import recalibrate, training_batches
from .source import Cut, Source
from .stock_config import stock_backbone


def build_parent(source: Source, cut: Cut) -> tuple[Any, Config]:
    """The trained model, recalibrated at the width to be cut, and its config.

    Raises:
        FileNotFoundError: If the training data to recalibrate on are not there.
        ValueError: If the weights do not fit.
    """
    cfg = source.config()
    if cut.images:
        check_data(cfg, ('train',))
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    with safe_loading():  # of a teacher
        model = revert_sync_batchnorm(MODELS.build(copy.deepcopy(cfg.model)))
    load_exactly(model, source.weights, source.path)
    model.eval().to(cut.device)
    if cut.width is not None and cut.images:
        batches = training_batches(cfg, cut.images, cut.seed)
        total = ceil(cut.images / (cfg.train_dataloader.get('batch_size') or 1))
        shown = track(batches, f'recalibrating width {cut.width:g}', total, transient=True)
        recalibrate(model, cut.width, shown)
    return model, cfg


def build_backbone(source: Source) -> Any:
    """The backbone with stock layers and the trained weights, in evaluation mode.

    Raises:
        ValueError: If the weights do not fit.
    """
    init_default_scope('mmdet')
    options = stock_backbone(source.config().model.backbone)
    backbone = revert_sync_batchnorm(MODELS.build(options))
    load_exactly(backbone, source.parts()[0], source.path)
    backbone.eval()  # returns nothing, in mmdet's ResNet
    return backbone


def load_exactly(network: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Load weights that have to fit exactly.

    Raises:
        ValueError: If they do not.
    """
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:3]]
        raise ValueError(
            f'{path} does not fit {type(network).__name__} of the config: {" ".join(lines)[:300]} '
            'Give the config that it was trained with: CONFIG of tools/eval_widths.py, --config of '
            'tools/publish.py'
        ) from error
