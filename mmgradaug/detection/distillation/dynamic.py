"""Distillation of Dynamic R-CNN's RoI head.

The head raises its IoU threshold and lowers the beta of its smooth L1 loss while it trains, from
histories that its own ``loss`` writes. Sub-network passes replay the box and mask heads only, so
they write no history; their targets are the full pass's, of whatever threshold that pass had.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mmdet.models.roi_heads import DynamicRoIHead
from mmdet.structures import SampleList
from torch import Tensor

from ...transforms import GeometricMap
from .roi import RoIDistiller


class DynamicDistiller(RoIDistiller):
    """Trains sub-networks with the loss of their iteration's full pass.

    The head changes beta at the end of some full passes, for the next iteration; all passes of
    an iteration have the one that it started with.
    """

    head_classes = (DynamicRoIHead,)
    _beta: float

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Keep RoIs, outputs and targets of the full pass, and its beta."""
        self._beta = self.head.bbox_head.loss_bbox.beta
        with super().recording():
            yield

    def loss(
        self,
        feats: Sequence[Tensor],
        data_samples: SampleList,
        mapping: GeometricMap,
        soft_ramp: float,
    ) -> dict[str, Tensor]:
        """Losses of the active sub-network; see :class:`HeadDistiller`."""
        loss_bbox = self.head.bbox_head.loss_bbox
        of_next_iteration = loss_bbox.beta
        loss_bbox.beta = self._beta
        try:
            return super().loss(feats, data_samples, mapping, soft_ramp)
        finally:
            loss_bbox.beta = of_next_iteration
