"""What one box head and its mask head teach a sub-network on the same RoIs, moved.

Box deltas and mask grids are relative to the RoI: the full pass's outputs and targets hold for
the sub-network as they are, or turned.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder, LegacyDeltaXYWHBBoxCoder
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.structures.bbox import bbox2roi
from torch import Tensor

from ...errors import ConfigError
from ...transforms import GeometricMap
from .base import Losses, has_stock_methods, recording_calls, zero_loss
from .config import DistillConfig
from .divergence import bernoulli_kl, categorical_kl, set_agreement


@dataclass
class BoxTeacher:
    """What a box head saw and said in the full pass; R RoIs."""

    rois: Tensor  # (R, 5) of (image index, x1, y1, x2, y2) in pixels
    cls_score: Tensor  # class logits (R, C + 1)
    bbox_pred: Tensor  # box deltas (R, 4) or (R, 4 * C)
    targets: tuple[Tensor, ...]  # labels, label weights (R,), box targets, box weights (R, 4)
    is_positive: Tensor  # (R,), which RoIs were assigned an object


@dataclass
class MaskTeacher:
    """What a mask head saw and said in the full pass; P positive RoIs."""

    rois: Tensor  # (P, 5) of (image index, x1, y1, x2, y2) in pixels
    labels: Tensor  # (P,), the objects' classes
    probabilities: Tensor  # (P, h, w), of the object's own class
    targets: Tensor  # (P, h, w), 0 or 1


@dataclass
class RoIStage:
    """Records one full pass of a box head and its mask head, and computes sub-networks' losses."""

    bbox_head: BBoxHead
    mask_head: FCNMaskHead | None
    config: DistillConfig
    boxes: BoxTeacher | None = None  # None before the full pass, and where its head did not run
    masks: MaskTeacher | None = None

    @staticmethod
    def supports(bbox_head: Any, mask_head: Any) -> bool:
        """Return whether both heads compute losses as mmdet's own, on upright boxes."""
        methods = ('loss_and_target', 'get_targets')
        return (
            has_stock_methods(bbox_head, (BBoxHead,), methods)
            and (mask_head is None or has_stock_methods(mask_head, (FCNMaskHead,), methods[:1]))
            and bbox_head.with_cls
            and bbox_head.with_reg
            and not bbox_head.custom_cls_channels
            and getattr(bbox_head.bbox_coder, 'encode_size', 4) == 4
        )

    def recorders(self) -> list[AbstractContextManager[None]]:
        """Return contexts that record RoIs, outputs and targets of the full pass."""
        heads = {self.bbox_head: self._record_boxes, self.mask_head: self._record_masks}
        return [recording_calls(h, 'loss_and_target', r) for h, r in heads.items() if h is not None]

    def _record_boxes(self, result: dict[str, Any], **call: Any) -> None:
        """Record a call of the box head's ``loss_and_target``."""
        chosen, _ = subsample_rois(call['sampling_results'], self.config.max_rois)
        targets = tuple(target[chosen] for target in result['bbox_targets'])
        self.boxes = BoxTeacher(
            rois=call['rois'][chosen],
            cls_score=call['cls_score'].detach()[chosen],
            bbox_pred=call['bbox_pred'].detach()[chosen],
            targets=targets,
            is_positive=targets[0] < self.bbox_head.num_classes,
        )

    def _record_masks(self, result: dict[str, Any], **call: Any) -> None:
        """Record a call of the mask head's ``loss_and_target``, of each RoI its own class only."""
        samples = call['sampling_results']
        _, chosen = subsample_rois(samples, self.config.max_rois)
        labels = torch.cat([sample.pos_gt_labels for sample in samples])[chosen]
        own = select_class(call['mask_preds'].detach()[chosen], labels)
        self.masks = MaskTeacher(
            rois=bbox2roi([sample.pos_priors for sample in samples])[chosen],
            labels=labels,
            probabilities=own.float().sigmoid(),
            targets=result['mask_targets'][chosen],
        )

    def box_losses(self, outputs: dict[str, Any], mapping: GeometricMap, ramp: float) -> Losses:
        """Compute losses of class scores and box deltas.

        Soft classes are trained by KL divergence, mean over RoIs; soft deltas of positive RoIs by
        their absolute error, averaged as the stock loss is; both hard by the head's own losses.
        ``outputs`` are ``cls_score`` (R, C + 1) and ``bbox_pred`` (R, 4) or (R, 4 * C) on the
        teacher's RoIs, moved; ``ramp``, from 0 to 1, is a factor of the soft losses.
        """
        teacher, config, head = self.boxes, self.config, self.bbox_head
        assert teacher is not None
        scores, deltas = outputs['cls_score'], outputs['bbox_pred']
        labels, label_weights, box_targets, box_weights = teacher.targets
        if config.roi_bbox.soft or (config.roi_bbox.hard and not head.reg_decoded_bbox):
            _require_turnable(head.bbox_coder, mapping.turns)
        losses = {'loss_roi_untrained': zero_loss(scores, deltas)}
        if len(scores):
            agreement = scores.argmax(dim=1) == teacher.cls_score.argmax(dim=1)
            losses['agree_roi_cls'] = agreement.float().mean()
        if len(scores) and config.roi_cls.soft:
            if getattr(head.loss_cls, 'use_sigmoid', False):
                divergence = bernoulli_kl(scores, teacher.cls_score.float().sigmoid()).sum(dim=1)
            else:
                divergence = categorical_kl(scores, teacher.cls_score)
            weight = config.roi_cls.soft * ramp * getattr(head.loss_cls, 'loss_weight', 1.0)
            losses['loss_roi_cls_soft'] = divergence.mean() * weight
        if config.roi_bbox.soft:
            pairs = (pred.unflatten(1, (-1, 4)) for pred in (deltas, teacher.bbox_pred))
            own, said = (select_class(pair, labels) for pair in pairs)
            error = (own.float() - mapping.deltas(said)).abs()
            weight = config.roi_bbox.soft * ramp * getattr(head.loss_bbox, 'loss_weight', 1.0)
            total = error[teacher.is_positive].sum()
            losses['loss_roi_bbox_soft'] = total / max(len(labels), 1) * weight
        if config.roi_cls.hard or config.roi_bbox.hard:
            # Boxes in pixels are the targets of IoU losses, deltas those of the others.
            moved = mapping.boxes if head.reg_decoded_bbox else mapping.deltas
            hard = head.loss(
                scores if config.roi_cls.hard else None,
                deltas if config.roi_bbox.hard else None,
                mapping.rois(teacher.rois),
                *(labels, label_weights, moved(box_targets), box_weights),
            )
            for name, value in hard.items():
                if 'loss' in name:
                    target = config.roi_bbox if name == 'loss_bbox' else config.roi_cls
                    name = name.replace('loss_', 'loss_roi_', 1)
                    losses[f'{name}_hard'] = value * target.hard
        return losses

    def mask_losses(self, logits: Tensor, mapping: GeometricMap, ramp: float) -> Losses:
        """Compute losses of mask logits (P, C, h, w) on the teacher's positive RoIs, moved.

        The mean KL divergence over the pixels of the object's own class, and the head's own loss.
        """
        teacher, head, target = self.masks, self.mask_head, self.config.roi_mask
        assert teacher is not None and head is not None
        losses = {'loss_mask_untrained': zero_loss(logits)}
        if not len(teacher.labels):
            return losses
        own = select_class(logits, teacher.labels)
        wanted = mapping.grids(teacher.probabilities)
        losses['agree_mask'] = set_agreement(own.float().sigmoid() > 0.5, wanted > 0.5)
        if target.soft:
            weight = target.soft * ramp * head.loss_mask.loss_weight
            losses['loss_mask_soft'] = bernoulli_kl(own, wanted).mean() * weight
        if target.hard:
            classes = torch.zeros_like(teacher.labels) if head.class_agnostic else teacher.labels
            hard = head.loss_mask(logits, mapping.grids(teacher.targets), classes)
            losses['loss_mask_hard'] = hard.sum() * target.hard
        return losses


def subsample_rois(samples: Sequence[SamplingResult], limit: int | None) -> tuple[Any, Any]:
    """Choose at most ``limit`` RoIs of each image, evenly spread over its list.

    Positive RoIs come first in the list, so their share stays about the same. Returned is which
    RoIs (R,), and which of the positive ones (P,), were chosen.
    """
    if limit is None:
        return slice(None), slice(None)  # unlike a mask, no GPU has to count it
    rows, positives = [], []
    for sample in samples:
        total, device = len(sample.priors), sample.priors.device
        chosen = torch.zeros(total, dtype=torch.bool, device=device)
        chosen[torch.linspace(0, total - 1, min(limit, total), device=device).long()] = True
        rows.append(chosen)
        positives.append(chosen[: len(sample.pos_priors)])
    return torch.cat(rows), torch.cat(positives)


def select_class(values: Tensor, labels: Tensor) -> Tensor:
    """Return the values (R, ...) of each RoI's class, from those of all classes (R, C, ...).

    The first ones for background, and where all classes share them.
    """
    own = labels.where(labels < values.size(1), torch.zeros_like(labels))
    return values[torch.arange(len(labels), device=labels.device), own]


def _require_turnable(coder: Any, turns: int) -> None:
    """Raise unless turned deltas are deltas of the turned boxes."""
    means, stds = getattr(coder, 'means', (0,) * 4), getattr(coder, 'stds', (1,) * 4)
    sideways = turns % 2 and (stds[0] != stds[1] or stds[2] != stds[3])
    is_xywh = isinstance(coder, (DeltaXYWHBBoxCoder, LegacyDeltaXYWHBBoxCoder))
    if turns and (not is_xywh or any(means) or sideways):
        raise ConfigError(
            f'box deltas of {type(coder).__name__} with means {means} and stds {stds} cannot be '
            'turned with the image, expected deltas of centre and size with zero means and equal '
            'stds in x and y: change bbox_coder, or drop RandomRotate from gradaug.transform'
        )
