"""Distillation of RoI heads of several stages: Cascade (Mask) R-CNN and Hybrid Task Cascade.

Stage k of a sub-network runs on the RoIs that stage k of the *full network* saw, moved by the
transform, and not on what the sub-network's own stage k - 1 would refine them to:

- Only on the same RoIs do the outputs of both correspond one to one, so that soft targets exist
  and the full pass's assignment, sampling and targets hold.
- No gradient is lost: mmdet too passes refined boxes from stage to stage without one.
- Each stage keeps learning from boxes of the quality that it is made for.

Hybrid Task Cascade's mask heads train on boxes that were just refined and sampled anew: their RoIs
are recorded beside those of the box heads, and its mask information flow runs again on them. Its
semantic branch, if any, feeds the other heads, and is trained by the target of ``roi_mask``.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import zip_longest
from typing import Any

import torch
from mmdet.models.roi_heads import CascadeRoIHead, HybridTaskCascadeRoIHead
from mmdet.models.roi_heads.mask_heads import FusedSemanticHead
from mmdet.structures import SampleList
from torch import Tensor, nn

from ...transforms import GeometricMap
from .base import Losses, has_stock_methods, zero_loss
from .roi import RoIDistiller
from .semantic import is_exclusive, move_labels, soft_semantic


class CascadeDistiller(RoIDistiller):
    """Trains every stage, with the head's own weights of the stages, and HTC's semantic branch."""

    head_classes = (CascadeRoIHead, HybridTaskCascadeRoIHead)

    @classmethod
    def supports(cls, head: Any) -> bool:
        """Return whether ``head`` is mmdet's, its semantic branch over exclusive classes."""
        branch = getattr(head, 'semantic_head', None)
        return super().supports(head) and (
            branch is None
            or (
                has_stock_methods(branch, (FusedSemanticHead,), ('forward', 'loss'))
                and is_exclusive(branch.criterion)
            )
        )

    @staticmethod
    def stage_heads(head: CascadeRoIHead) -> list[tuple[nn.Module, nn.Module | None]]:
        """Return the box heads and the mask heads beside them, in the order they run."""
        return list(zip_longest(head.bbox_head, head.mask_head if head.with_mask else ()))

    def recorders(self) -> list[AbstractContextManager[Any]]:
        """Return contexts that record RoIs, outputs and targets, and the segmentation."""
        branch = getattr(self.head, 'semantic_head', None)
        own = [] if branch is None else [branch.register_forward_hook(self.record)]
        return [*super().recorders(), *own]

    def record(self, branch: Any, args: Any, outputs: tuple) -> None:
        """Record the semantic branch's class probabilities (N, C, H, W)."""
        self.teacher = outputs[0].detach().float().softmax(dim=1)

    def loss(
        self, feats: Sequence[Tensor], samples: SampleList, mapping: GeometricMap, ramp: float
    ) -> Losses:
        """Compute the losses of all stages, prefixed as mmdet does; see :class:`HeadDistiller`."""
        losses: Losses = {}
        inputs: dict[str, Tensor] = {}  # of every head, beside features and RoIs
        branch = getattr(self.head, 'semantic_head', None)
        if branch is not None:
            logits, inputs['semantic_feat'] = branch(feats)
            losses['loss_semantic_untrained'] = zero_loss(logits, inputs['semantic_feat'])
            losses |= self._semantic_losses(logits, samples, mapping, ramp)
        for index, stage in enumerate(self.stages):
            if stage.boxes is None:  # the full pass ran out of RoIs before this stage
                heads = [head for head in (stage.bbox_head, stage.mask_head) if head is not None]
                unused = [parameter for head in heads for parameter in head.parameters()]
                own = {'loss_roi_untrained': zero_loss(*unused)}
            else:
                rois = mapping.rois(stage.boxes.rois)
                outputs = self.head._bbox_forward(index, feats, rois, **inputs)
                own = stage.box_losses(outputs, mapping, ramp)
            if stage.masks is not None:
                rois = mapping.rois(stage.masks.rois)
                outputs = self.head._mask_forward(index, feats, rois, **inputs)
                own |= stage.mask_losses(outputs['mask_preds'], mapping, ramp)
            weight = self.head.stage_loss_weights[index]
            for name, value in own.items():
                losses[f's{index}.{name}'] = value * weight if 'loss' in name else value
        return losses

    def _semantic_losses(
        self, logits: Tensor, samples: SampleList, mapping: GeometricMap, ramp: float
    ) -> Losses:
        """Compute losses of the semantic branch, of its logits (N, C, h, w)."""
        branch, target = self.head.semantic_head, self.config.roi_mask
        factor = ramp * branch.criterion.loss_weight
        losses = soft_semantic(logits, self.teacher, mapping, target, factor)
        if target.hard:
            ignored = branch.criterion.ignore_index
            ignored = -100 if ignored is None else ignored
            scale, cells = branch.seg_scale_factor, logits.shape[-2:]
            moved = move_labels(samples, mapping, cells, scale, ignored)
            labels = torch.stack([pixels.sem_seg for pixels in moved])
            losses['loss_semantic_seg_hard'] = branch.loss(logits, labels) * target.hard
        return losses
