"""What a RoI head's full pass saw and said, kept for the sub-networks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.structures.bbox import bbox2roi
from torch import Tensor

from .recording import recording_calls


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
    targets: tuple[Tensor, Tensor, Tensor, Tensor]
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
    """Keeps the full pass of a RoI head.

    Args:
        head: The detector's RoI head.

    Attributes:
        box: What the box head saw and said, or None before the full pass.
        mask: The same of the mask head; None without one.
    """

    def __init__(self, head: StandardRoIHead) -> None:
        self.head = head
        self.box: BoxLesson | None = None
        self.mask: MaskLesson | None = None

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Keep RoIs, outputs and targets of the full pass."""
        with ExitStack() as stack:
            record = recording_calls(self.head.bbox_head, 'loss_and_target', self._keep_boxes)
            stack.enter_context(record)
            if self.head.with_mask:
                record = recording_calls(self.head.mask_head, 'loss_and_target', self._keep_masks)
                stack.enter_context(record)
            yield

    def _keep_boxes(self, call: dict[str, Any], result: dict[str, Any]) -> None:
        """Keep a call of the box head's ``loss_and_target``."""
        positive = [
            torch.cat([r.pos_priors.new_ones(len(r.pos_priors), dtype=torch.bool),
                       r.pos_priors.new_zeros(len(r.neg_priors), dtype=torch.bool)])
            for r in call['sampling_results']
        ]  # fmt: skip
        self.box = BoxLesson(
            rois=call['rois'].detach(),
            cls_score=_detached(call['cls_score']),
            bbox_pred=_detached(call['bbox_pred']),
            targets=result['bbox_targets'],
            is_positive=torch.cat(positive),
        )

    def _keep_masks(self, call: dict[str, Any], result: dict[str, Any]) -> None:
        """Keep a call of the mask head's ``loss_and_target``, of each RoI its own class only."""
        samples = call['sampling_results']
        labels = torch.cat([sample.pos_gt_labels for sample in samples])
        own = own_class(self.head, call['mask_preds'].detach(), labels)
        self.mask = MaskLesson(
            rois=bbox2roi([sample.pos_priors for sample in samples]),
            labels=labels,
            probabilities=own.float().sigmoid(),
            targets=result['mask_targets'],
        )

    def forget(self) -> None:
        """Drop what was kept."""
        self.box = self.mask = None


def own_class(head: StandardRoIHead, logits: Tensor, labels: Tensor) -> Tensor:
    """Mask logits (P, C, h, w) of each RoI's class, (P, h, w)."""
    if head.mask_head.class_agnostic:
        return logits[:, 0]
    return logits[torch.arange(len(labels), device=labels.device), labels]


def _detached(tensor: Tensor | None) -> Tensor | None:
    """A tensor without its graph."""
    return None if tensor is None else tensor.detach()
