"""Distillation of a RoI head with one box head and at most one mask head.

Mask R-CNN, Faster R-CNN and Double-Head R-CNN.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from mmdet.models.roi_heads import DoubleHeadRoIHead, StandardRoIHead
from mmdet.models.roi_heads.base_roi_head import BaseRoIHead
from mmdet.structures import SampleList
from torch import Tensor, nn

from ...transforms import GeometricMap
from .roi_stage import RoIStage, keeps_methods
from .targets import DistillConfig

REPLAYED = ('loss', 'bbox_loss', 'mask_loss', '_bbox_forward', '_mask_forward')


class RoIDistiller:
    """Trains a sub-network's RoI outputs on the full network's, on labels, or both.

    Args:
        head: The detector's RoI head.
        config: The targets of ``roi_cls``, ``roi_bbox`` and ``roi_mask``, and ``max_rois``.
        turns: Quarter turns that the sub-networks' images may make.

    Attributes:
        head_classes: Classes whose training is replayed here; a subclass that overrides what
            is recorded or replayed is not supported.
        stages: One for each box head.

    Raises:
        ValueError: If outputs are to be trained under turns that they do not allow.
    """

    head_classes: tuple[type, ...] = (StandardRoIHead, DoubleHeadRoIHead)

    def __init__(
        self, head: BaseRoIHead, config: DistillConfig, turns: frozenset[int] = frozenset()
    ) -> None:
        self.head = head
        self.config = config
        pairs = self.stage_heads(head)
        self.stages = [RoIStage(box, mask, config, turns) for box, mask in pairs]
        masks = head.with_mask or getattr(head, 'with_semantic', False)
        self.keys = ['roi_cls', 'roi_bbox', *(['roi_mask'] if masks else [])]

    @classmethod
    def supports(cls, head: Any) -> bool:
        """Whether ``head`` computes its losses as one of ``head_classes`` does."""
        return (
            keeps_methods(head, cls.head_classes, REPLAYED)
            and head.with_bbox
            and all(RoIStage.supports(*pair) for pair in cls.stage_heads(head))
        )

    @staticmethod
    def stage_heads(head: BaseRoIHead) -> list[tuple[nn.Module, nn.Module | None]]:
        """Box heads and the mask heads beside them, in the order they run."""
        return [(head.bbox_head, head.mask_head if head.with_mask else None)]

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Keep RoIs, outputs and targets of the full pass."""
        with ExitStack() as stack:
            for stage in self.stages:
                stack.enter_context(stage.kept.recording())
            yield

    def forget(self) -> None:
        """Drop what was kept."""
        for stage in self.stages:
            stage.kept.forget()

    def loss(
        self,
        feats: Sequence[Tensor],
        data_samples: SampleList,
        mapping: GeometricMap,
        soft_ramp: float,
    ) -> dict[str, Tensor]:
        """Losses of the active sub-network; see :class:`HeadDistiller`."""
        (stage,) = self.stages
        outputs = self.head._bbox_forward(feats, stage.rois(mapping))
        losses = stage.box_losses(outputs, mapping, soft_ramp)
        if stage.mask_head is not None:
            outputs = self._mask_forward(feats, outputs, mapping)
            losses |= self._mask_losses(outputs, mapping, soft_ramp)
        return losses

    def _mask_forward(
        self, feats: Sequence[Tensor], box_outputs: dict[str, Tensor], mapping: GeometricMap
    ) -> dict[str, Tensor]:
        """Run the mask head, on features of its own or the box head's."""
        (stage,) = self.stages
        if not self.head.share_roi_extractor:
            return self.head._mask_forward(feats, stage.mask_rois(mapping))
        assert stage.kept.box is not None
        positive, shared = stage.kept.box.is_positive, box_outputs['bbox_feats']
        return self.head._mask_forward(feats, pos_inds=positive, bbox_feats=shared)

    def _mask_losses(
        self, outputs: dict[str, Tensor], mapping: GeometricMap, ramp: float
    ) -> dict[str, Tensor]:
        """Losses of what the mask head said."""
        return self.stages[0].mask_losses(outputs['mask_preds'], mapping, ramp)
