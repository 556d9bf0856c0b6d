"""What sub-networks of detectors learn: soft and hard targets, one file per head family."""

from collections.abc import Sequence
from typing import Any

from mmdet.models.detectors import (
    RPN,
    DetectionTransformer,
    MaskFormer,
    SingleStageDetector,
    SparseRCNN,
    TwoStageDetector,
    TwoStagePanopticSegmentor,
)

from .base import HeadDistiller
from .cascade import CascadeDistiller, HTCDistiller
from .config import DistillConfig, Target
from .dense import DenseDistiller, RPNDistiller
from .mask_scoring import MaskScoringDistiller
from .roi import DynamicDistiller, RoIDistiller
from .semantic import SemanticDistiller

# Ways to compute losses, each with the head that has to be there.
STOCK_LOSSES: dict[Any, str] = {
    TwoStageDetector.loss: 'roi_head',
    TwoStagePanopticSegmentor.loss: 'semantic_head',
    SingleStageDetector.loss: 'bbox_head',
    RPN.loss: 'bbox_head',
}
# Of their queries no soft label would know which answers to which (docs/DISTILLATION.md).
QUERY_BASED = (DetectionTransformer, MaskFormer, SparseRCNN)
HEADS: dict[str, Sequence[Any]] = {
    'rpn_head': (RPNDistiller,),
    'roi_head': (
        RoIDistiller,
        DynamicDistiller,
        MaskScoringDistiller,
        CascadeDistiller,
        HTCDistiller,
    ),
    'semantic_head': (SemanticDistiller,),
    'bbox_head': (RPNDistiller, DenseDistiller),
}


def find_distillers(detector: Any, config: DistillConfig) -> tuple[list[HeadDistiller], str | None]:
    """Find the distillation of all heads of a detector.

    Returns:
        The distillers, in the order the heads run, and None; or none and what of the detector has
        no distillation, in which case sub-networks train on labels.
    """
    if isinstance(detector, QUERY_BASED):
        return [], 'queries, by choice'
    heads = {
        name: module
        for name, module in detector.named_children()
        if name not in ('backbone', 'neck') and any(True for _ in module.parameters())
    }
    classes: dict[str, Any] = {}
    for name, head in heads.items():
        classes[name] = next((d for d in HEADS.get(name, ()) if d.supports(head)), None)
        if classes[name] is None:
            return [], f'{name} ({type(head).__name__})'
    if STOCK_LOSSES.get(getattr(type(detector), 'loss', None)) not in heads:
        return [], f'way to compute losses ({type(detector).__name__})'
    return [classes[name](head, config) for name, head in heads.items()], None
