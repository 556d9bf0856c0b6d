"""The losses of one box head and the mask head beside it, on RoIs that moved with the image.

A sub-network's heads run on the RoIs that the full network sampled, moved by the transform,
so both outputs correspond one to one. Box deltas and mask grids are relative to the RoI:
the full pass's outputs and targets hold for the sub-network as they are, or turned.
"""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from torch import Tensor, nn

from ...transforms import GeometricMap
from .base import untrained
from .divergence import bernoulli_kl, categorical_kl, set_agreement
from .roi_recorder import BoxLesson, RoIRecorder, own_class
from .targets import DistillConfig
from .turning import require_turnable


class RoIStage:
    """Trains a sub-network's RoI outputs on the full network's, on labels, or both.

    Args:
        bbox_head: A box head.
        mask_head: The mask head that runs on its positive RoIs, or None.
        config: The targets of ``roi_cls``, ``roi_bbox`` and ``roi_mask``, and ``max_rois``.
        turns: Quarter turns that the sub-networks' images may make.

    Attributes:
        kept: What the full pass saw and said.

    Raises:
        ValueError: If deltas are to be trained under turns that their coder does not allow.
    """

    def __init__(
        self,
        bbox_head: BBoxHead,
        mask_head: FCNMaskHead | None,
        config: DistillConfig,
        turns: frozenset[int],
    ) -> None:
        self.bbox_head, self.mask_head, self.config = bbox_head, mask_head, config
        self.kept = RoIRecorder(bbox_head, mask_head, config.max_rois)
        self._require_turnable(turns)

    @staticmethod
    def supports(bbox_head: nn.Module, mask_head: nn.Module | None) -> bool:
        """Whether both heads compute losses as mmdet's own, on upright boxes."""
        return (
            keeps_methods(bbox_head, (BBoxHead,), ('loss_and_target', 'get_targets'))
            and not bbox_head.custom_cls_channels
            and getattr(bbox_head.bbox_coder, 'encode_size', 4) == 4
            and (
                mask_head is None or keeps_methods(mask_head, (FCNMaskHead,), ('loss_and_target',))
            )
        )

    def _require_turnable(self, turns: frozenset[int]) -> None:
        """Raise if deltas are trained that cannot be turned."""
        target, in_pixels = self.config.roi_bbox, self.bbox_head.reg_decoded_bbox
        if target.soft or (target.hard and not in_pixels):
            require_turnable(self.bbox_head.bbox_coder, turns)

    def rois(self, mapping: GeometricMap) -> Tensor:
        """RoIs (R, 5) of the box head in the transformed images."""
        return mapping.rois(self._box_lesson.rois)

    def mask_rois(self, mapping: GeometricMap) -> Tensor:
        """RoIs (P, 5) of the mask head in the transformed images."""
        assert self.kept.mask is not None, 'the full pass comes first'
        return mapping.rois(self.kept.mask.rois)

    @property
    def _box_lesson(self) -> BoxLesson:
        assert self.kept.box is not None, 'the full pass comes first'
        return self.kept.box

    def box_losses(
        self, outputs: dict[str, Any], mapping: GeometricMap, ramp: float
    ) -> dict[str, Tensor]:
        """Losses of class scores and box deltas.

        Args:
            outputs: ``cls_score`` (R, C + 1) and ``bbox_pred`` (R, 4) or (R, 4 * C) of
                :meth:`rois`, each a tensor or None.
            mapping: Where the transform moved things.
            ramp: Factor of the soft losses, 0 to 1.

        Returns:
            Losses and agreements, every output part of some loss.
        """
        self._require_turnable(frozenset({mapping.turns}))
        lesson = self._box_lesson
        scores, deltas = outputs['cls_score'], outputs['bbox_pred']
        present = [output for output in (scores, deltas) if output is not None]
        losses = {'loss_roi_untrained': untrained(*present)}
        if scores is not None and lesson.cls_score is not None:
            losses |= self._soft_class(scores, lesson.cls_score, ramp)
        if deltas is not None and lesson.bbox_pred is not None and self.config.roi_bbox.soft:
            losses |= self._soft_deltas(deltas, lesson.bbox_pred, mapping, ramp)
        return losses | self._hard_box_losses(scores, deltas, mapping)

    def _soft_class(self, scores: Tensor, teacher: Tensor, ramp: float) -> dict[str, Tensor]:
        """KL divergence of class scores, mean over RoIs, and how often the top class agrees."""
        if not len(scores):
            return {}
        loss_cls = self.bbox_head.loss_cls
        agreement = (scores.argmax(dim=1) == teacher.argmax(dim=1)).float().mean()
        losses = {'agree_roi_cls': agreement}
        if self.config.roi_cls.soft:
            if getattr(loss_cls, 'use_sigmoid', False):
                divergence = bernoulli_kl(scores, teacher.float().sigmoid()).sum(dim=1)
            else:
                divergence = categorical_kl(scores, teacher)
            weight = self.config.roi_cls.soft * ramp * getattr(loss_cls, 'loss_weight', 1.0)
            losses['loss_roi_cls_soft'] = divergence.mean() * weight
        return losses

    def _soft_deltas(
        self, deltas: Tensor, teacher: Tensor, mapping: GeometricMap, ramp: float
    ) -> dict[str, Tensor]:
        """Absolute error of positive RoIs' deltas, averaged as the stock loss is."""
        lesson = self._box_lesson
        labels = lesson.targets[0]
        wanted = mapping.deltas(self._own_deltas(teacher, labels))
        error = (self._own_deltas(deltas, labels).float() - wanted).abs()[lesson.is_positive].sum()
        loss_weight = getattr(self.bbox_head.loss_bbox, 'loss_weight', 1.0)
        weight = self.config.roi_bbox.soft * ramp * loss_weight
        return {'loss_roi_bbox_soft': error / max(len(labels), 1) * weight}

    def _own_deltas(self, deltas: Tensor, labels: Tensor) -> Tensor:
        """Deltas (R, 4) of each RoI's class; of the first one for background."""
        if self.bbox_head.reg_class_agnostic:
            return deltas
        per_class = deltas.unflatten(1, (-1, 4))
        own = labels.where(labels < per_class.size(1), torch.zeros_like(labels))
        return per_class[torch.arange(len(labels), device=labels.device), own]

    def _hard_box_losses(
        self, scores: Tensor | None, deltas: Tensor | None, mapping: GeometricMap
    ) -> dict[str, Tensor]:
        """The box head's own losses on the full pass's targets."""
        config = self.config
        if not (config.roi_cls.hard or config.roi_bbox.hard):
            return {}
        labels, label_weights, box_targets, box_weights = self._box_lesson.targets
        losses = self.bbox_head.loss(
            scores if config.roi_cls.hard else None,
            deltas if config.roi_bbox.hard else None,
            self.rois(mapping),
            *(labels, label_weights, self.moved_targets(box_targets, mapping), box_weights),
        )
        weighted = {}
        for name, value in losses.items():
            if 'loss' in name:
                target = config.roi_bbox if name == 'loss_bbox' else config.roi_cls
                weighted[f'{name.replace("loss_", "loss_roi_", 1)}_hard'] = value * target.hard
        return weighted

    def moved_targets(self, targets: Tensor, mapping: GeometricMap) -> Tensor:
        """The full pass's box targets (R, 4) in the transformed image."""
        if self.bbox_head.reg_decoded_bbox:
            return mapping.boxes(targets)  # boxes in pixels, for IoU losses
        return mapping.deltas(targets)

    def mask_losses(self, logits: Tensor, mapping: GeometricMap, ramp: float) -> dict[str, Tensor]:
        """Losses of mask logits (P, C, h, w) of :meth:`mask_rois`."""
        lesson, head, target = self.kept.mask, self.mask_head, self.config.roi_mask
        assert lesson is not None and head is not None
        losses = {'loss_mask_untrained': untrained(logits)}
        if not len(lesson.labels):
            return losses
        own = own_class(head, logits, lesson.labels)
        teacher = mapping.grids(lesson.probabilities)
        losses['agree_mask'] = set_agreement(own.float().sigmoid() > 0.5, teacher > 0.5)
        if target.soft:
            weight = target.soft * ramp * head.loss_mask.loss_weight
            losses['loss_mask_soft'] = bernoulli_kl(own, teacher).mean() * weight
        if target.hard:
            classes = torch.zeros_like(lesson.labels) if head.class_agnostic else lesson.labels
            hard = head.loss_mask(logits, mapping.grids(lesson.targets), classes)
            losses['loss_mask_hard'] = hard.sum() * target.hard
        return losses


def keeps_methods(obj: Any, classes: tuple[type, ...], methods: tuple[str, ...]) -> bool:
    """Whether an object is of one of the classes and has the methods as one of them has."""
    return isinstance(obj, classes) and all(
        any(getattr(type(obj), method) is getattr(c, method) for c in classes) for method in methods
    )
