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
from mmdet.models.roi_heads import HybridTaskCascadeRoIHead
from mmdet.models.roi_heads.mask_heads import FusedSemanticHead
from mmdet.structures import SampleList
from mmengine.structures import PixelData
from torch import Tensor, nn

from ...transforms import GeometricMap
from ..labels import move_pixels
from .base import untrained
from .cascade import CascadeDistiller
from .roi_stage import keeps_methods
from .semantic import is_exclusive, soft_semantic


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
                and is_exclusive(head.semantic_head.criterion)
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
        assert self._segmentation is not None, 'the full pass comes first'
        criterion, target = self.head.semantic_head.criterion, self.config.roi_mask
        factor = soft_ramp * criterion.loss_weight
        losses |= soft_semantic(logits, self._segmentation, mapping, target, factor)
        if target.hard:
            losses['loss_semantic_seg_hard'] = self._hard_semantic(logits, data_samples, mapping)
        return losses | self._cascade_losses(feats, mapping, soft_ramp, semantic_feat=embedding)

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
