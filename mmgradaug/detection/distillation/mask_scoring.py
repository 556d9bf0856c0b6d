"""Distillation of Mask Scoring R-CNN's RoI head.

Beside masks it predicts how well each mask fits its object, as their intersection over union
(IoU). That output follows the target of ``roi_mask``:

- hard: the IoU of the sub-network's own mask with the full pass's mask target, as in the full
  pass. The share of the object that lies inside the RoI, which that IoU needs, does not change
  when both move.
- soft: what the full network predicts for the same RoI. An IoU has no bound in the head, but only
  values from 0 to 1 mean anything: a prediction outside means 0 or 1, and sub-networks
  have to mean the same. So the teacher cannot lead them away from meaningful values.
"""

from contextlib import AbstractContextManager
from typing import Any

import torch
from mmdet.models.roi_heads import MaskScoringRoIHead
from mmdet.models.roi_heads.mask_heads import MaskIoUHead
from torch import Tensor

from ...transforms import GeometricMap
from .base import Losses, has_stock_methods, recording_calls, zero_loss
from .roi import RoIDistiller
from .roi_stage import select_class, subsample_rois

METHODS = ('forward', 'loss_and_target', 'get_targets', '_get_area_ratio')


class MaskScoringDistiller(RoIDistiller):
    """Trains a sub-network's predicted mask IoU beside its boxes and masks.

    The teacher, of the P positive RoIs: IoUs (P,) that the full pass predicted for masks of the
    object's own class, and the share (P,) of the object's area that lies inside the RoI.
    """

    head_classes = (MaskScoringRoIHead,)

    @classmethod
    def supports(cls, head: Any) -> bool:
        """Return whether ``head`` is mmdet's, with a mask for each class."""
        return (
            super().supports(head)
            and head.with_mask
            and not head.mask_head.class_agnostic
            and has_stock_methods(head.mask_iou_head, (MaskIoUHead,), METHODS)
        )

    def recorders(self) -> list[AbstractContextManager[Any]]:
        """Return contexts that record RoIs, outputs and targets of the full pass."""
        shares: list[Tensor] = []  # one (P_i,) an image

        def record(
            result: dict, predicted: Tensor, masks: Tensor, targets: Tensor, samples: list, *_: Any
        ) -> None:
            chosen = subsample_rois(samples, self.config.max_rois)[1]
            self.teacher = predicted.detach()[chosen], torch.cat(shares)[chosen]

        head = self.head.mask_iou_head
        return [
            *super().recorders(),
            recording_calls(head, '_get_area_ratio', lambda share, *_: shares.append(share)),
            recording_calls(head, 'loss_and_target', record),
        ]

    def _mask_losses(self, outputs: dict[str, Any], mapping: GeometricMap, ramp: float) -> Losses:
        """Compute losses of the masks and of how well they are predicted to fit."""
        masks, target, (said, visible) = self.stages[0].masks, self.config.roi_mask, self.teacher
        assert masks is not None
        own = select_class(outputs['mask_preds'], masks.labels)
        scores = self.head.mask_iou_head(outputs['mask_feats'], own)
        losses = super()._mask_losses(outputs, mapping, ramp)
        losses['loss_mask_iou_untrained'] = zero_loss(scores)
        predicted = select_class(scores, masks.labels)
        loss_iou = self.head.mask_iou_head.loss_iou
        if target.soft and len(predicted):
            wanted = meaningful_iou(predicted.detach(), said)
            losses['loss_mask_iou_soft'] = loss_iou(predicted, wanted) * target.soft * ramp
        if target.hard:
            binary = own.detach() > self.head.train_cfg.mask_thr_binary
            truth = mask_ious(binary, mapping.grids(masks.targets), visible)
            scored = truth > 0
            if scored.any():
                hard = loss_iou(predicted[scored], truth[scored])
                losses['loss_mask_iou_hard'] = hard * target.hard
        return losses


def mask_ious(masks: Tensor, targets: Tensor, visible: Tensor) -> Tensor:
    """Return the intersection over union of masks inside RoIs with whole objects.

    Args:
        masks: Predicted (P, h, w), booleans.
        targets: The objects inside the RoIs (P, h, w), 0 or 1.
        visible: (P,), share of each object's area that lies inside its RoI.
    """
    masks = masks.to(targets.dtype)
    overlap = (masks * targets).sum((-1, -2))
    whole = targets.sum((-1, -2)) / (visible + 1e-7)
    return overlap / (masks.sum((-1, -2)) + whole - overlap)


def meaningful_iou(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the IoU that the student should predict: the teacher's, or one that means the same.

    Below 0 predictions mean 0, above 1 they mean 1.
    """
    low = torch.where(teacher < 0, student.clamp(max=0), teacher)
    return torch.where(teacher > 1, student.clamp(min=1), low)
