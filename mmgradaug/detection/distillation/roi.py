"""Distillation of a two-stage detector's RoI head.

A sub-network's head runs on the RoIs that the full network sampled, moved by the transform,
so both outputs correspond one to one. Box deltas and mask grids are relative to the RoI:
the full pass's outputs and targets hold for the sub-network as they are, or turned.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.structures import SampleList
from torch import Tensor, nn

from ...transforms import GeometricMap
from .base import untrained
from .divergence import bernoulli_kl, categorical_kl, set_agreement
from .roi_recorder import RoIRecorder, own_class
from .targets import DistillConfig


class RoIDistiller:
    """Trains a sub-network's RoI outputs on the full network's, on labels, or both.

    Args:
        head: The detector's RoI head.
        config: The targets of ``roi_cls``, ``roi_bbox`` and ``roi_mask``, and ``max_rois``.
    """

    def __init__(self, head: StandardRoIHead, config: DistillConfig) -> None:
        self.head = head
        self.config = config
        self.kept = RoIRecorder(head)

    @staticmethod
    def supports(head: nn.Module) -> bool:
        """Whether ``head`` computes its losses as ``StandardRoIHead`` does.

        A subclass that overrides what is recorded or replayed here is not supported.
        """
        methods = ('loss', 'bbox_loss', 'mask_loss', '_bbox_forward', '_mask_forward')
        return (
            isinstance(head, StandardRoIHead)
            and _inherits(head, StandardRoIHead, methods)
            and head.with_bbox
            and _inherits(head.bbox_head, BBoxHead, ('loss_and_target', 'get_targets'))
            and not head.bbox_head.custom_cls_channels
            and (not head.with_mask or _inherits(head.mask_head, FCNMaskHead, ('loss_and_target',)))
        )

    def recording(self) -> AbstractContextManager[None]:
        """Keep RoIs, outputs and targets of the full pass."""
        return self.kept.recording()

    def forget(self) -> None:
        """Drop what was kept."""
        self.kept.forget()

    def loss(
        self,
        feats: Sequence[Tensor],
        data_samples: SampleList,
        mapping: GeometricMap,
        soft_ramp: float,
    ) -> dict[str, Tensor]:
        """Losses of the active sub-network; see :class:`HeadDistiller`."""
        assert self.kept.box is not None, 'the full pass comes first'
        chosen = evenly_chosen(self.kept.box.rois[:, 0], self.config.max_rois)
        if mapping.turns:
            require_turnable(self.head.bbox_head.bbox_coder)
        rois = mapping.rois(self.kept.box.rois[chosen])
        outputs = self.head._bbox_forward(feats, rois)
        losses = self._box_losses(outputs, rois, chosen, mapping, soft_ramp)
        if self.kept.mask is not None:
            losses |= self._mask_losses(feats, outputs, chosen, mapping, soft_ramp)
        return losses

    def _box_losses(
        self, outputs: dict, rois: Tensor, chosen: Tensor, mapping: GeometricMap, ramp: float
    ) -> dict[str, Tensor]:
        """Losses of class scores and box deltas."""
        lesson, config = self.kept.box, self.config
        assert lesson is not None
        scores, deltas = outputs['cls_score'], outputs['bbox_pred']
        labels, label_weights, box_targets, box_weights = (t[chosen] for t in lesson.targets)
        present = [output for output in (scores, deltas) if output is not None]
        losses = {'loss_roi_untrained': untrained(*present)}
        if scores is not None and lesson.cls_score is not None:
            losses |= self._soft_class(scores, lesson.cls_score[chosen], ramp)
        if deltas is not None and lesson.bbox_pred is not None and config.roi_bbox.soft:
            teacher = mapping.deltas(self._own_deltas(lesson.bbox_pred[chosen], labels))
            losses |= self._soft_deltas(deltas, teacher, labels, lesson.is_positive[chosen], ramp)
        if config.roi_cls.hard or config.roi_bbox.hard:
            box_targets = self._moved_targets(box_targets, mapping)
            hard = self.head.bbox_head.loss(
                scores if config.roi_cls.hard else None,
                deltas if config.roi_bbox.hard else None,
                *(rois, labels, label_weights, box_targets, box_weights),
            )
            losses |= self._weighted_hard(hard)
        return losses

    def _soft_class(self, scores: Tensor, teacher: Tensor, ramp: float) -> dict[str, Tensor]:
        """KL divergence of class scores, mean over RoIs, and how often the top class agrees."""
        loss_cls = self.head.bbox_head.loss_cls
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

    def _own_deltas(self, deltas: Tensor, labels: Tensor) -> Tensor:
        """Deltas (R, 4) of each RoI's class; of the first one for background."""
        if self.head.bbox_head.reg_class_agnostic:
            return deltas
        per_class = deltas.unflatten(1, (-1, 4))
        own = labels.where(labels < per_class.size(1), torch.zeros_like(labels))
        return per_class[torch.arange(len(labels), device=labels.device), own]

    def _soft_deltas(
        self, deltas: Tensor, teacher: Tensor, labels: Tensor, positive: Tensor, ramp: float
    ) -> dict[str, Tensor]:
        """Absolute error of positive RoIs' deltas, averaged as the stock loss is."""
        error = (self._own_deltas(deltas, labels).float() - teacher).abs()[positive].sum()
        loss_weight = getattr(self.head.bbox_head.loss_bbox, 'loss_weight', 1.0)
        weight = self.config.roi_bbox.soft * ramp * loss_weight
        return {'loss_roi_bbox_soft': error / max(len(labels), 1) * weight}

    def _moved_targets(self, targets: Tensor, mapping: GeometricMap) -> Tensor:
        """The full pass's box targets in the transformed image."""
        if self.head.bbox_head.reg_decoded_bbox:
            return mapping.boxes(targets)  # boxes in pixels, for IoU losses
        return mapping.deltas(targets)

    def _weighted_hard(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Rename and weigh the stock losses of the box head."""
        weighted = {}
        for name, value in losses.items():
            if 'loss' in name:
                output = 'bbox' if name == 'loss_bbox' else 'cls'
                target = self.config.roi_bbox if output == 'bbox' else self.config.roi_cls
                weighted[f'{name.replace("loss_", "loss_roi_", 1)}_hard'] = value * target.hard
        return weighted

    def _mask_losses(
        self,
        feats: Sequence[Tensor],
        outputs: dict,
        chosen: Tensor,
        mapping: GeometricMap,
        ramp: float,
    ) -> dict[str, Tensor]:
        """Losses of mask logits on the positive RoIs."""
        lesson, target = self.kept.mask, self.config.roi_mask
        assert lesson is not None and self.kept.box is not None
        kept = chosen[self.kept.box.is_positive]
        logits = self._mask_logits(feats, outputs, mapping.rois(lesson.rois[kept]), chosen)
        labels = lesson.labels[kept]
        losses = {'loss_mask_untrained': untrained(logits)}
        if not len(labels):
            return losses
        own = own_class(self.head, logits, labels)
        teacher = mapping.grids(lesson.probabilities[kept])
        losses['agree_mask'] = set_agreement(own.float().sigmoid() > 0.5, teacher > 0.5)
        if target.soft:
            weight = target.soft * ramp * self.head.mask_head.loss_mask.loss_weight
            losses['loss_mask_soft'] = bernoulli_kl(own, teacher).mean() * weight
        if target.hard:
            classes = torch.zeros_like(labels) if self.head.mask_head.class_agnostic else labels
            masks = mapping.grids(lesson.targets[kept])
            hard = self.head.mask_head.loss_mask(logits, masks, classes)
            losses['loss_mask_hard'] = hard.sum() * target.hard
        return losses

    def _mask_logits(
        self, feats: Sequence[Tensor], outputs: dict, rois: Tensor, chosen: Tensor
    ) -> Tensor:
        """Mask logits (P, C, h, w), from features of their own or the box head's."""
        if not self.head.share_roi_extractor:
            return self.head._mask_forward(feats, rois)['mask_preds']
        assert self.kept.box is not None
        positive = self.kept.box.is_positive[chosen]
        shared = outputs['bbox_feats']
        return self.head._mask_forward(feats, pos_inds=positive, bbox_feats=shared)['mask_preds']


def evenly_chosen(image_index: Tensor, limit: int | None) -> Tensor:
    """Mark at most ``limit`` RoIs of each image, evenly spread over its list.

    Positive RoIs come first in the list, so their share stays about the same.

    Args:
        image_index: (R,), the image of each RoI.
        limit: RoIs an image, or None for all.

    Returns:
        A boolean (R,).
    """
    chosen = torch.ones_like(image_index, dtype=torch.bool)
    if limit is None:
        return chosen
    for image in image_index.unique():
        members = (image_index == image).nonzero()[:, 0]
        if len(members) > limit:
            keep = torch.linspace(0, len(members) - 1, limit, device=members.device).long()
            chosen[members] = False
            chosen[members[keep]] = True
    return chosen


def require_turnable(coder: Any) -> None:
    """Raise unless a coder treats x and y alike, so that turned deltas are deltas.

    Raises:
        ValueError: If means are not zero or standard deviations differ in x and y.
    """
    means, stds = getattr(coder, 'means', (0,) * 4), getattr(coder, 'stds', (1,) * 4)
    if any(means) or stds[0] != stds[1] or stds[2] != stds[3]:
        raise ValueError(
            f'box deltas with means {means} and stds {stds} cannot be turned with the image, '
            'expected zero means and equal stds in x and y: change bbox_coder, or drop '
            'RandomRotate from gradaug.transform'
        )


def _inherits(obj: Any, base: type, methods: Sequence[str]) -> bool:
    """Whether an object of ``base`` has the methods unchanged."""
    return isinstance(obj, base) and all(
        getattr(type(obj), method) is getattr(base, method) for method in methods
    )
