"""Soft and hard targets for a sub-network's heads, one file a head family."""

from collections.abc import Sequence
from typing import Any

from mmdet.models.detectors import RPN, SingleStageDetector, TwoStageDetector
from torch import nn

from .base import HeadDistiller
from .dense import DenseDistiller
from .queries import is_query_based
from .roi import RoIDistiller
from .rpn import RPNDistiller
from .targets import DistillConfig, Target

__all__ = ['DistillConfig', 'HeadDistiller', 'Target', 'find_distillers', 'is_query_based']

# Ways to compute losses, each with the head that has to be there.
STOCK_LOSSES: dict[Any, str] = {
    TwoStageDetector.loss: 'roi_head',
    SingleStageDetector.loss: 'bbox_head',
    RPN.loss: 'bbox_head',
}
HEADS: dict[str, Sequence[Any]] = {
    'rpn_head': (RPNDistiller,),
    'roi_head': (RoIDistiller,),
    'bbox_head': (RPNDistiller, DenseDistiller),
}


def find_distillers(
    detector: nn.Module, config: DistillConfig
) -> tuple[Sequence[HeadDistiller], str | None]:
    """Distillers for all heads of a detector.

    Returns:
        The distillers, in the order the heads run, and None; or none and the name of the
        first head that has no distillation, in which case sub-networks train on labels.

    Raises:
        ValueError: If the targets do not fit a head, or could not follow the transform's turns.
    """
    heads = {name: m for name, m in detector.named_children() if name not in ('backbone', 'neck')}
    heads = {n: m for n, m in heads.items() if any(True for _ in m.parameters())}
    kinds: dict[str, Any] = {}
    for name, head in heads.items():
        kinds[name] = next((kind for kind in HEADS.get(name, ()) if kind.supports(head)), None)
        if kinds[name] is None:
            return [], f'{name} ({type(head).__name__})'
    if STOCK_LOSSES.get(getattr(type(detector), 'loss', None)) not in heads:
        return [], f'way to compute losses ({type(detector).__name__})'
    distillers = [kinds[name](head, config) for name, head in heads.items()]
    transform = getattr(getattr(detector, 'sampler', None), 'transform', None)
    if getattr(transform, 'may_turn', False):
        for distiller in distillers:
            if isinstance(distiller, DenseDistiller):
                distiller.require_turnable()
    return distillers, None
