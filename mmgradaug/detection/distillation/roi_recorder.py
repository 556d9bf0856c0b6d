"""What one stage of a RoI head saw and said in the full pass, kept for the sub-networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.structures.bbox import bbox2roi
from torch import Tensor

from .recording import recording_calls

Rows = Tensor | slice
EVERY = slice(None)  # all rows, for which no GPU has to count, as for a mask


@dataclass
class BoxLesson:
    """What the full pass's box head saw and said; R RoIs.

    Attributes:
        rois: (R, 5) of (image index, x1, y1, x2, y2) in pixels.
        cls_score: Class logits (R, C + 1) or None.
        bbox_pred: Box deltas (R, 4) or (R, 4 * C), or None.
        targets: labels (R,), label weights (R,), box targets (R, 4), box weights (R, 4).
        is_positive: (R,), which RoIs were assigned an object.
    """

    rois: Tensor
    cls_score: Tensor | None
    bbox_pred: Tensor | None
    targets: tuple[Tensor, ...]
    is_positive: Tensor


@dataclass
class MaskLesson:
    """What the full pass's mask head saw and said; P positive RoIs.

    Attributes:
        rois: (P, 5) of (image index, x1, y1, x2, y2) in pixels.
        labels: (P,), the objects' classes.
        probabilities: (P, h, w), of the object's own class.
        targets: (P, h, w), 0 or 1.
    """

    rois: Tensor
    labels: Tensor
    probabilities: Tensor
    targets: Tensor


class RoIRecorder:
    """Keeps the full pass of one box head and the mask head beside it.

    Args:
        bbox_head: A box head.
        mask_head: A mask head, or None.
        max_rois: RoIs an image to keep; None for all that were sampled.

    Attributes:
        box: What the box head saw and said; None before the full pass, or where it did not run.
        mask: The same of the mask head; also None without one.
    """

    def __init__(
        self, bbox_head: BBoxHead, mask_head: FCNMaskHead | None, max_rois: int | None
    ) -> None:
        self.bbox_head, self.mask_head, self.max_rois = bbox_head, mask_head, max_rois
        self.box: BoxLesson | None = None
        self.mask: MaskLesson | None = None

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Keep RoIs, outputs and targets of the full pass."""
        self.forget()
        with ExitStack() as stack:
            record = recording_calls(self.bbox_head, 'loss_and_target', self._keep_boxes)
            stack.enter_context(record)
            if self.mask_head is not None:
                record = recording_calls(self.mask_head, 'loss_and_target', self._keep_masks)
                stack.enter_context(record)
            yield

    def _keep_boxes(self, call: dict[str, Any], result: dict[str, Any]) -> None:
        """Keep a call of the box head's ``loss_and_target``."""
        rois, is_positive = sampled_rois(call['sampling_results'])
        limit = self.max_rois
        chosen = EVERY if limit is None else evenly_chosen(rois[:, 0], limit)
        self.box = BoxLesson(
            rois=rois[chosen],
            cls_score=_detached(call['cls_score'], chosen),
            bbox_pred=_detached(call['bbox_pred'], chosen),
            targets=tuple(target[chosen] for target in result['bbox_targets']),
            is_positive=is_positive[chosen],
        )

    def _keep_masks(self, call: dict[str, Any], result: dict[str, Any]) -> None:
        """Keep a call of the mask head's ``loss_and_target``, of each RoI its own class only."""
        assert self.mask_head is not None
        samples = call['sampling_results']
        rois, is_positive = sampled_rois(samples)
        chosen = chosen_positives(samples, self.max_rois)
        labels = torch.cat([sample.pos_gt_labels for sample in samples])[chosen]
        own = own_class(self.mask_head, call['mask_preds'].detach()[chosen], labels)
        self.mask = MaskLesson(
            rois=rois[is_positive][chosen],
            labels=labels,
            probabilities=own.float().sigmoid(),
            targets=result['mask_targets'][chosen],
        )

    def forget(self) -> None:
        """Drop what was kept."""
        self.box = self.mask = None


def sampled_rois(samples: Sequence[SamplingResult]) -> tuple[Tensor, Tensor]:
    """RoIs (R, 5) that were sampled, image by image, and which of them are positive (R,)."""
    rois = bbox2roi([sample.priors for sample in samples])
    positive = [
        torch.arange(len(sample.priors), device=rois.device) < len(sample.pos_priors)
        for sample in samples
    ]
    return rois, torch.cat(positive)


def chosen_positives(samples: Sequence[SamplingResult], limit: int | None) -> Rows:
    """Which positive RoIs (P,) are among at most ``limit`` chosen ones of an image."""
    if limit is None:
        return EVERY
    rois, is_positive = sampled_rois(samples)
    return evenly_chosen(rois[:, 0], limit)[is_positive]


def evenly_chosen(image_index: Tensor, limit: int) -> Tensor:
    """Choose at most ``limit`` RoIs of each image, evenly spread over its list.

    Positive RoIs come first in the list, so their share stays about the same.

    Args:
        image_index: (R,), the image of each RoI.
        limit: RoIs an image.

    Returns:
        A boolean (R,).
    """
    chosen = torch.ones_like(image_index, dtype=torch.bool)
    for image in image_index.unique():
        members = (image_index == image).nonzero()[:, 0]
        if len(members) > limit:
            keep = torch.linspace(0, len(members) - 1, limit, device=members.device).long()
            chosen[members] = False
            chosen[members[keep]] = True
    return chosen


def own_class(mask_head: FCNMaskHead, logits: Tensor, labels: Tensor) -> Tensor:
    """Mask logits (P, C, h, w) of each RoI's class, (P, h, w)."""
    if mask_head.class_agnostic:
        return logits[:, 0]
    return logits[torch.arange(len(labels), device=labels.device), labels]


def _detached(tensor: Tensor | None, chosen: Rows) -> Tensor | None:
    """The chosen rows of a tensor, without its graph."""
    return None if tensor is None else tensor.detach()[chosen]
