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
from .cascade import CascadeDistiller
from .config import DistillConfig, Target
from .dense import DenseDistiller, RPNDistiller
from .mask_scoring import MaskScoringDistiller
from .roi import DynamicDistiller, RoIDistiller
from .semantic import SemanticDistiller

# Ways to compute losses that are known here.
STOCK = (TwoStageDetector, TwoStagePanopticSegmentor, SingleStageDetector, RPN)
STOCK_LOSSES = {detector.loss for detector in STOCK}
# Of their queries no soft label would know which answers to which (docs/DISTILLATION.md).
QUERY_BASED = (DetectionTransformer, MaskFormer, SparseRCNN)
HEADS: dict[str, Sequence[Any]] = {
    'rpn_head': (RPNDistiller,),
    'roi_head': (RoIDistiller, DynamicDistiller, MaskScoringDistiller, CascadeDistiller),
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
    found: list[tuple[Any, Any]] = []  # heads and classes of their distillers
    for name, head in detector.named_children():
        if name in ('backbone', 'neck') or next(head.parameters(), None) is None:
            continue
        distillers = [kind for kind in HEADS.get(name, ()) if kind.supports(head)]
        if not distillers:
            return [], f'{name} ({type(head).__name__})'
        found.append((head, distillers[0]))
    if getattr(type(detector), 'loss', None) not in STOCK_LOSSES:
        return [], f'way to compute losses ({type(detector).__name__})'
    return [distiller(head, config) for head, distiller in found], None
