"""Distillation of heads that segment the whole image, such as Panoptic FPN's.

They are trained as a mask is, by the target of ``roi_mask``: soft on what the full network says
at the place each cell comes from, hard by their own loss on the moved semantic labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mmdet.models.losses import CrossEntropyLoss
from mmdet.models.seg_heads import PanopticFPNHead
from mmdet.structures import DetDataSample, SampleList
from torch import Tensor, nn

from ...transforms import GeometricMap
from ..labels import move_pixels
from .base import has_stock_methods, recording_forward, zero_loss
from .config import DistillConfig, Target
from .divergence import distribution_kl
from .scale_space import same_level_target


class SemanticDistiller:
    """Trains a sub-network's segmentation on the full network's, on labels, or both.

    Args:
        head: The detector's semantic head.
        config: The target ``roi_mask``.
    """

    keys: Sequence[str] = ('roi_mask',)

    def __init__(self, head: nn.Module, config: DistillConfig) -> None:
        self.head: Any = head
        self.target = config.roi_mask
        self._teacher: Tensor | None = None  # class probabilities (N, C, H, W)

    @classmethod
    def supports(cls, head: Any) -> bool:
        """Return whether ``head`` is Panoptic FPN's, over exclusive classes."""
        stock = has_stock_methods(head, (PanopticFPNHead,), ('forward', 'loss'))
        return stock and is_exclusive(head.loss_seg)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record the segmentation of the full pass."""

        def record(outputs: dict[str, Tensor]) -> None:
            self._teacher = outputs['seg_preds'].detach().float().softmax(dim=1)

        with recording_forward(self.head, record):
            yield

    def clear(self) -> None:
        """Drop what was recorded."""
        self._teacher = None

    def loss(
        self, feats: Sequence[Tensor], samples: SampleList, mapping: GeometricMap, ramp: float
    ) -> dict[str, Tensor]:
        """Compute the losses of the active sub-network; see :class:`HeadDistiller`."""
        assert self._teacher is not None, 'the full pass comes first'
        outputs: list[dict[str, Tensor]] = []
        with recording_forward(self.head, outputs.append):
            if self.target.hard:
                hard = self.head.loss(feats, self._moved_labels(samples, mapping, feats))
            else:
                self.head(feats)
        logits = outputs[0]['seg_preds']
        losses = {'loss_seg_untrained': zero_loss(logits)}
        factor = ramp * self.head.loss_seg.loss_weight
        losses |= soft_semantic(logits, self._teacher, mapping, self.target, factor)
        if self.target.hard:
            losses['loss_seg_hard'] = hard['loss_seg'] * self.target.hard
        return losses

    def _moved_labels(
        self, samples: SampleList, mapping: GeometricMap, feats: Sequence[Tensor]
    ) -> SampleList:
        """Return semantic labels of the transformed images, padded as these are."""
        cells = feats[self.head.start_level].shape[-2:]  # as many as the head gives
        height, width = (round(length / self.head.seg_rescale_factor) for length in cells)
        return [
            DetDataSample(gt_sem_seg=move_pixels(sample.gt_sem_seg, mapping, (height, width)))
            for sample in samples
        ]


def is_exclusive(criterion: nn.Module) -> bool:
    """Return whether a loss takes the classes of a cell for exclusive: a softmax over them."""
    return isinstance(criterion, CrossEntropyLoss) and not criterion.use_sigmoid


def soft_semantic(
    logits: Tensor, teacher: Tensor, mapping: GeometricMap, target: Target, factor: float
) -> dict[str, Tensor]:
    """Compute the KL divergence of the cells' classes, mean over cells, and their agreement.

    Args:
        logits: The sub-network's (N, C, H, W), with padding right and bottom.
        teacher: Class probabilities (N, C, H_t, W_t) of the original images.
        mapping: Where the transform moved things.
        target: Its ``soft`` weighs the loss; there is none where that is 0.
        factor: Weighs it too.
    """
    wanted = same_level_target(teacher, mapping)
    student = logits[..., : wanted.size(-2), : wanted.size(-1)]  # not the padding
    agreement = (student.argmax(dim=1) == wanted.argmax(dim=1)).float().mean()
    losses = {'agree_semantic': agreement}
    if target.soft:
        divergence = distribution_kl(student, wanted).mean()
        losses['loss_semantic_seg_soft'] = divergence * target.soft * factor
    return losses
