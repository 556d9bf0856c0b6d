"""Soft and hard targets for a sub-network's heads, one file a head family."""

from collections.abc import Sequence
from typing import Any

from mmdet.models.detectors import TwoStageDetector
from torch import nn

from .base import HeadDistiller
from .roi import RoIDistiller
from .rpn import RPNDistiller
from .targets import DistillConfig, Target

__all__ = ['DistillConfig', 'HeadDistiller', 'Target', 'find_distillers']

STOCK_LOSS = TwoStageDetector.loss
HEADS: dict[str, Any] = {'rpn_head': RPNDistiller, 'roi_head': RoIDistiller}


def find_distillers(
    detector: nn.Module, config: DistillConfig
) -> tuple[Sequence[HeadDistiller], str | None]:
    """Distillers for all heads of a detector.

    Returns:
        The distillers, in the order the heads run, and None; or none and the name of the
        first head that has no distillation, in which case sub-networks train on labels.
    """
    heads = {name: m for name, m in detector.named_children() if name not in ('backbone', 'neck')}
    heads = {n: m for n, m in heads.items() if any(True for _ in m.parameters())}
    for name, head in heads.items():
        if name not in HEADS or not HEADS[name].supports(head):
            return [], f'{name} ({type(head).__name__})'
    if 'roi_head' not in heads or getattr(type(detector), 'loss', None) is not STOCK_LOSS:
        return [], f'way to compute losses ({type(detector).__name__})'
    return [HEADS[name](head, config) for name, head in heads.items()], None
