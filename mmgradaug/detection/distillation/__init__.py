"""What sub-networks of detectors learn: soft and hard targets, one file a head family."""

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

    Args:
        detector: The detector.
        config: The targets of sub-networks.

    Returns:
        The distillers, in the order the heads run, and None; or none and the name of the
        first head that has no distillation, in which case sub-networks train on labels.

    Raises:
        ConfigError: If the targets do not fit a head.
    """
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


def is_query_based(detector: Any) -> bool:
    """Return whether a detector answers with a set of queries that its losses match to the labels.

    A soft label would need to know which of the student's answers corresponds to which of the
    teacher's. The same index is no answer: queries compete for objects, and near ties flip.
    Matching by the teacher's confident queries gives the objects over again. So sub-networks
    train on the labels, matched anew in every pass, by reasoning and not by measurement.
    """
    return isinstance(detector, (DetectionTransformer, MaskFormer, SparseRCNN))
