"""Distillation of a RoI head of several stages (Cascade R-CNN, Cascade Mask R-CNN).

Stage k of a sub-network runs on the RoIs that stage k of the *full network* saw, moved by the
transform, and not on what the sub-network's own stage k - 1 would refine them to:

- Only on the same RoIs do the outputs of both correspond one to one, so that soft targets exist
  and the full pass's assignment, sampling and targets hold. RoIs refined by the sub-network
  would have to be assigned and sampled anew in every pass.
- No gradient is lost: mmdet too passes refined boxes from stage to stage without one.
- Each stage keeps learning from boxes of the quality that it is made for, also while the
  smallest sub-network refines badly.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from mmdet.models.roi_heads import CascadeRoIHead
from mmdet.structures import SampleList
from torch import Tensor, nn

from ...transforms import GeometricMap
from .base import untrained
from .roi import RoIDistiller


class CascadeDistiller(RoIDistiller):
    """Trains every stage of a cascade, with the head's own weights of the stages."""

    head_classes = (CascadeRoIHead,)

    @staticmethod
    def stage_heads(head: CascadeRoIHead) -> list[tuple[nn.Module, nn.Module | None]]:
        """Box heads and the mask heads beside them, in the order they run."""
        return list(zip_longest(head.bbox_head, head.mask_head if head.with_mask else ()))

    def loss(
        self,
        feats: Sequence[Tensor],
        data_samples: SampleList,
        mapping: GeometricMap,
        soft_ramp: float,
    ) -> dict[str, Tensor]:
        """Losses of the active sub-network; see :class:`HeadDistiller`."""
        return self._cascade_losses(feats, mapping, soft_ramp)

    def _cascade_losses(
        self, feats: Sequence[Tensor], mapping: GeometricMap, ramp: float, **inputs: Any
    ) -> dict[str, Tensor]:
        """Losses of all stages, prefixed as mmdet does; ``inputs`` go to the heads too."""
        losses = {}
        for index in range(len(self.stages)):
            weight = self.head.stage_loss_weights[index]
            for name, value in self._stage_losses(index, feats, mapping, ramp, inputs).items():
                losses[f's{index}.{name}'] = value * weight if 'loss' in name else value
        return losses

    def _stage_losses(
        self,
        index: int,
        feats: Sequence[Tensor],
        mapping: GeometricMap,
        ramp: float,
        inputs: dict[str, Any],
    ) -> dict[str, Tensor]:
        """Losses of a stage, before its weight."""
        stage = self.stages[index]
        if stage.kept.box is None:  # the full pass ran out of RoIs before this stage
            heads = [stage.bbox_head, stage.mask_head]
            unused = [p for head in heads if head is not None for p in head.parameters()]
            return {'loss_roi_untrained': untrained(*unused)}
        outputs = self.head._bbox_forward(index, feats, stage.rois(mapping), **inputs)
        losses = stage.box_losses(outputs, mapping, ramp)
        if stage.mask_head is not None:
            rois = stage.mask_rois(mapping)
            outputs = self.head._mask_forward(index, feats, rois, **inputs)
            losses |= stage.mask_losses(outputs['mask_preds'], mapping, ramp)
        return losses
