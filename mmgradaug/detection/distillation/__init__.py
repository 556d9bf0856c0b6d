"""Soft and hard targets for a sub-network's heads, one file a head family."""

from collections.abc import Sequence
from typing import Any

from mmdet.models.detectors import (
    RPN,
    SingleStageDetector,
    TwoStageDetector,
    TwoStagePanopticSegmentor,
)
from torch import nn

from .base import HeadDistiller
from .cascade import CascadeDistiller
from .dense import DenseDistiller
from .dynamic import DynamicDistiller
from .htc import HTCDistiller
from .mask_scoring import MaskScoringDistiller
from .queries import is_query_based
from .roi import RoIDistiller
from .rpn import RPNDistiller
from .semantic import SemanticDistiller
from .targets import DistillConfig, Target, ineffective

__all__ = [
    'DistillConfig',
    'HeadDistiller',
    'Target',
    'find_distillers',
    'ineffective',
    'is_query_based',
]

# Ways to compute losses, each with the head that has to be there.
STOCK_LOSSES: dict[Any, str] = {
    TwoStageDetector.loss: 'roi_head',
    TwoStagePanopticSegmentor.loss: 'semantic_head',
    SingleStageDetector.loss: 'bbox_head',
    RPN.loss: 'bbox_head',
}
ROI_HEADS = (RoIDistiller, DynamicDistiller, MaskScoringDistiller, CascadeDistiller, HTCDistiller)
HEADS: dict[str, Sequence[Any]] = {
    'rpn_head': (RPNDistiller,),
    'roi_head': ROI_HEADS,
    'semantic_head': (SemanticDistiller,),
    'bbox_head': (RPNDistiller, DenseDistiller),
}


def find_distillers(
    detector: nn.Module, config: DistillConfig, turns: frozenset[int] = frozenset()
) -> tuple[Sequence[HeadDistiller], str | None]:
    """Distillers for all heads of a detector.

    Args:
        detector: The detector.
        config: The targets of sub-networks.
        turns: Quarter turns that sub-networks' images may make.

    Returns:
        The distillers, in the order the heads run, and None; or none and the name of the
        first head that has no distillation, in which case sub-networks train on labels.

    Raises:
        ValueError: If the targets do not fit a head, or could not follow the turns.
    """
    heads = {name: m for name, m in detector.named_children() if name not in ('backbone', 'neck')}
    heads = {n: m for n, m in heads.items() if any(True for _ in m.parameters())}
    found = {name: _distiller_class(name, head) for name, head in heads.items()}
    for name, distiller in found.items():
        if distiller is None:
            return [], f'{name} ({type(heads[name]).__name__})'
    if STOCK_LOSSES.get(getattr(type(detector), 'loss', None)) not in heads:
        return [], f'way to compute losses ({type(detector).__name__})'
    return [found[name](head, config, turns) for name, head in heads.items()], None


def _distiller_class(name: str, head: nn.Module) -> Any:
    """The distiller for a head of a detector, or None."""
    return next((d for d in HEADS.get(name, ()) if d.supports(head)), None)
