"""Distillation of RoI heads of one stage: Faster, Mask, Double-Head and Dynamic R-CNN.

A sub-network's heads run on the RoIs that the full network sampled, moved by the transform, so
both outputs correspond one to one. No sub-network pass proposes, assigns or samples.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from mmdet.models.roi_heads import DoubleHeadRoIHead, DynamicRoIHead, StandardRoIHead
from mmdet.models.roi_heads.base_roi_head import BaseRoIHead
from mmdet.structures import SampleList
from torch import Tensor, nn

from ...transforms import GeometricMap
from .base import HeadDistiller, Losses, has_stock_methods
from .config import DistillConfig
from .roi_stage import RoIStage

REPLAYED = ('loss', 'bbox_loss', 'mask_loss', '_bbox_forward', '_mask_forward')


class RoIDistiller(HeadDistiller):
    """Trains a sub-network's RoI outputs on the full network's, on labels, or both.

    A subclass of one of the ``head_classes`` that overrides what is recorded or replayed is not
    supported. There is one stage for each box head.
    """

    head_classes: tuple[type, ...] = (StandardRoIHead, DoubleHeadRoIHead)

    def __init__(self, head: BaseRoIHead, config: DistillConfig) -> None:
        super().__init__(head, config)
        masks = head.with_mask or getattr(head, 'with_semantic', False)
        self.keys = ['roi_cls', 'roi_bbox', *(['roi_mask'] if masks else [])]
        self.clear()

    @classmethod
    def supports(cls, head: Any) -> bool:
        """Return whether ``head`` computes its losses as one of ``head_classes`` does."""
        return (
            has_stock_methods(head, cls.head_classes, REPLAYED)
            and head.with_bbox
            and all(RoIStage.supports(*heads) for heads in cls.stage_heads(head))
        )

    @staticmethod
    def stage_heads(head: BaseRoIHead) -> list[tuple[nn.Module, nn.Module | None]]:
        """Return the box heads and the mask heads beside them, in the order they run."""
        return [(head.bbox_head, head.mask_head if head.with_mask else None)]

    def recorders(self) -> list[AbstractContextManager[Any]]:
        """Return contexts that record RoIs, outputs and targets of the full pass."""
        self.clear()
        return [recorder for stage in self.stages for recorder in stage.recorders()]

    def clear(self) -> None:
        """Drop what was recorded."""
        super().clear()
        self.stages = [RoIStage(*heads, self.config) for heads in self.stage_heads(self.head)]

    def loss(
        self, feats: Sequence[Tensor], samples: SampleList, mapping: GeometricMap, ramp: float
    ) -> Losses:
        """Compute the losses of the active sub-network; see :class:`HeadDistiller`."""
        (stage,) = self.stages
        assert stage.boxes is not None, 'the full pass comes first'
        outputs = self.head._bbox_forward(feats, mapping.rois(stage.boxes.rois))
        losses = stage.box_losses(outputs, mapping, ramp)
        if stage.masks is not None:
            if self.head.share_roi_extractor:
                shared = dict(pos_inds=stage.boxes.is_positive, bbox_feats=outputs['bbox_feats'])
                outputs = self.head._mask_forward(feats, **shared)
            else:
                outputs = self.head._mask_forward(feats, mapping.rois(stage.masks.rois))
            losses |= self._mask_losses(outputs, mapping, ramp)
        return losses

    def _mask_losses(self, outputs: dict[str, Any], mapping: GeometricMap, ramp: float) -> Losses:
        """Compute losses of what the mask head said."""
        return self.stages[0].mask_losses(outputs['mask_preds'], mapping, ramp)


class DynamicDistiller(RoIDistiller):
    """Distils Dynamic R-CNN's RoI head.

    The head raises its IoU threshold and lowers the beta of its smooth L1 loss while it trains,
    from histories that its own ``loss`` writes; sub-network passes write none. It changes beta
    at the end of some full passes, for the next iteration: all passes of an iteration have the
    beta that the iteration started with.
    """

    head_classes = (DynamicRoIHead,)
    _beta: float

    def recorders(self) -> list[AbstractContextManager[Any]]:
        """Return contexts that record the full pass, and keep the beta that it starts with."""
        self._beta = self.head.bbox_head.loss_bbox.beta
        return super().recorders()

    def loss(self, *args: Any) -> Losses:
        """Compute the losses of the active sub-network; see :class:`HeadDistiller`."""
        loss_bbox = self.head.bbox_head.loss_bbox
        next_beta, loss_bbox.beta = loss_bbox.beta, self._beta
        try:
            return super().loss(*args)
        finally:
            loss_bbox.beta = next_beta
