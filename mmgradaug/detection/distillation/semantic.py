"""Distillation of heads that segment the whole image, such as Panoptic FPN's.

They are trained as a mask is, by the target of ``roi_mask``: soft on what the full network says
at the place each cell comes from, hard by their own loss on the moved semantic labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mmdet.models.losses import CrossEntropyLoss
from mmdet.models.seg_heads import PanopticFPNHead
from mmdet.structures import DetDataSample, SampleList
from torch import Tensor, nn

from ...transforms import GeometricMap
from ..labels import move_pixels
from .base import untrained
from .divergence import distribution_kl
from .roi_stage import keeps_methods
from .scale_space import same_level_target
from .targets import DistillConfig, Target


class SemanticDistiller:
    """Trains a sub-network's segmentation on the full network's, on labels, or both.

    Args:
        head: The detector's semantic head.
        config: The target ``roi_mask``.
        turns: Quarter turns that the sub-networks' images may make; all are allowed.
    """

    keys: Sequence[str] = ('roi_mask',)

    def __init__(
        self, head: nn.Module, config: DistillConfig, turns: frozenset[int] = frozenset()
    ) -> None:
        self.head: Any = head
        self.target = config.roi_mask
        self._teacher: Tensor | None = None  # class probabilities (N, C, H, W)

    @staticmethod
    def supports(head: Any) -> bool:
        """Whether ``head`` is Panoptic FPN's, over exclusive classes."""
        return keeps_methods(head, (PanopticFPNHead,), ('forward', 'loss')) and is_exclusive(
            head.loss_seg
        )

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Keep the segmentation of the full pass."""

        def keep(logits: Tensor) -> None:
            self._teacher = logits.detach().float().softmax(dim=1)

        with self._watching(keep):
            yield

    @contextmanager
    def _watching(self, sink: Callable[[Tensor], None]) -> Iterator[None]:
        """Report the logits (N, C, H, W) of each call of the head."""
        handle = self.head.register_forward_hook(lambda _, args, out: sink(out['seg_preds']))
        try:
            yield
        finally:
            handle.remove()

    def forget(self) -> None:
        """Drop what was kept."""
        self._teacher = None

    def loss(
        self,
        feats: Sequence[Tensor],
        data_samples: SampleList,
        mapping: GeometricMap,
        soft_ramp: float,
    ) -> dict[str, Tensor]:
        """Losses of the active sub-network; see :class:`HeadDistiller`."""
        assert self._teacher is not None, 'the full pass comes first'
        seen: list[Tensor] = []
        with self._watching(seen.append):
            if self.target.hard:
                hard = self.head.loss(feats, self._moved(data_samples, mapping, feats))['loss_seg']
            else:
                self.head(feats)
        (logits,) = seen
        losses = {'loss_seg_untrained': untrained(logits)}
        factor = soft_ramp * self.head.loss_seg.loss_weight
        losses |= soft_semantic(logits, self._teacher, mapping, self.target, factor)
        if self.target.hard:
            losses['loss_seg_hard'] = hard * self.target.hard
        return losses

    def _moved(
        self, samples: SampleList, mapping: GeometricMap, feats: Sequence[Tensor]
    ) -> SampleList:
        """Semantic labels of the transformed images, padded as these are."""
        cells = feats[self.head.start_level].shape[-2:]  # as many as the head gives
        height, width = (round(length / self.head.seg_rescale_factor) for length in cells)
        moved = []
        for sample in samples:
            labels = move_pixels(sample.gt_sem_seg, mapping, (height, width))
            moved.append(DetDataSample(gt_sem_seg=labels))
        return moved


def is_exclusive(criterion: nn.Module) -> bool:
    """Whether a loss takes the classes of a cell for exclusive: a softmax over them."""
    return isinstance(criterion, CrossEntropyLoss) and not criterion.use_sigmoid


def soft_semantic(
    logits: Tensor, teacher: Tensor, mapping: GeometricMap, target: Target, factor: float
) -> dict[str, Tensor]:
    """KL divergence of the cells' classes, mean over cells, and how often the top one agrees.

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
