"""Distillation of Hybrid Task Cascade's RoI head.

Each part of it replays the full pass:

- Interleaved execution trains a stage's mask head on the boxes that its box head just refined,
  sampled anew: the full pass's mask RoIs are kept beside its box RoIs, and moved like them.
- The mask information flow, which feeds a stage's mask head with the earlier ones' features,
  runs again on these RoIs.
- The semantic branch, where there is one, segments the whole image. It feeds the box and mask
  heads, and is trained as a mask is, by the target of ``roi_mask``: soft on what the full
  network says at the place each cell comes from, hard on the moved semantic labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from mmdet.models.losses import CrossEntropyLoss
from mmdet.models.roi_heads import HybridTaskCascadeRoIHead
from mmdet.models.roi_heads.mask_heads import FusedSemanticHead
from mmdet.structures import SampleList
from mmengine.structures import PixelData
from torch import Tensor, nn

from ...transforms import GeometricMap
from ..labels import move_pixels
from .base import untrained
from .cascade import CascadeDistiller
from .divergence import distribution_kl
from .roi_stage import keeps_methods
from .scale_space import same_level_target


class HTCDistiller(CascadeDistiller):
    """Trains every stage of a hybrid task cascade, and its semantic branch."""

    head_classes = (HybridTaskCascadeRoIHead,)
    _segmentation: Tensor | None = None  # of the full pass: probabilities (N, C, H, W)

    @classmethod
    def supports(cls, head: Any) -> bool:
        """Whether ``head`` is mmdet's, its semantic branch, if any, over exclusive classes."""
        return super().supports(head) and (
            not head.with_semantic
            or (
                keeps_methods(head.semantic_head, (FusedSemanticHead,), ('forward', 'loss'))
                and isinstance(head.semantic_head.criterion, CrossEntropyLoss)
                and not head.semantic_head.criterion.use_sigmoid
            )
        )

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Keep RoIs, outputs and targets of the full pass."""
        with ExitStack() as stack:
            stack.enter_context(super().recording())
            if self.head.with_semantic:
                hook = self.head.semantic_head.register_forward_hook(self._keep_segmentation)
                stack.callback(hook.remove)
            yield

    def _keep_segmentation(self, head: nn.Module, args: tuple, outputs: tuple) -> None:
        """Keep the semantic branch's class probabilities."""
        self._segmentation = outputs[0].detach().float().softmax(dim=1)

    def forget(self) -> None:
        """Drop what was kept."""
        super().forget()
        self._segmentation = None

    def loss(
        self,
        feats: Sequence[Tensor],
        data_samples: SampleList,
        mapping: GeometricMap,
        soft_ramp: float,
    ) -> dict[str, Tensor]:
        """Losses of the active sub-network; see :class:`HeadDistiller`."""
        if not self.head.with_semantic:
            return self._cascade_losses(feats, mapping, soft_ramp)
        logits, embedding = self.head.semantic_head(feats)
        losses = {'loss_semantic_untrained': untrained(logits, embedding)}
        losses |= self._soft_semantic(logits, mapping, soft_ramp)
        if self.config.roi_mask.hard:
            losses['loss_semantic_seg_hard'] = self._hard_semantic(logits, data_samples, mapping)
        return losses | self._cascade_losses(feats, mapping, soft_ramp, semantic_feat=embedding)

    def _soft_semantic(
        self, logits: Tensor, mapping: GeometricMap, ramp: float
    ) -> dict[str, Tensor]:
        """KL divergence of each cell's classes (N, C, H, W), and how often the top one agrees."""
        assert self._segmentation is not None, 'the full pass comes first'
        teacher = same_level_target(self._segmentation, mapping)
        student = logits[..., : teacher.size(-2), : teacher.size(-1)]  # not the padding
        agreement = (student.argmax(dim=1) == teacher.argmax(dim=1)).float().mean()
        losses = {'agree_semantic': agreement}
        if self.config.roi_mask.soft:
            weight = (
                self.config.roi_mask.soft * ramp * self.head.semantic_head.criterion.loss_weight
            )
            losses['loss_semantic_seg_soft'] = distribution_kl(student, teacher).mean() * weight
        return losses

    def _hard_semantic(
        self, logits: Tensor, data_samples: SampleList, mapping: GeometricMap
    ) -> Tensor:
        """The branch's own loss on the moved labels, padded with ignored ones as images are."""
        head = self.head.semantic_head
        ignored = -100 if head.criterion.ignore_index is None else head.criterion.ignore_index
        height, width = (round(length / head.seg_scale_factor) for length in logits.shape[-2:])
        labels = []
        for sample in data_samples:
            label_map = PixelData(sem_seg=sample.gt_sem_seg.sem_seg.long())
            labels.append(move_pixels(label_map, mapping, (height, width), ignored).sem_seg)
        return head.loss(logits, torch.stack(labels)) * self.config.roi_mask.hard
