"""What the distillation of one head offers to the detector."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from mmdet.structures import SampleList
from torch import Tensor

from ...transforms import GeometricMap


class HeadDistiller(Protocol):
    """Teaches a head's sub-network passes with the head's full pass.

    Its class has ``supports(head)`` and is called with the head, the targets
    (:class:`DistillConfig`) and the quarter turns that sub-networks' images may make; it raises
    there if its outputs cannot be turned, and not in the middle of training.

    Attributes:
        keys: The config keys of the outputs that the head has.
    """

    keys: Sequence[str]

    def recording(self) -> AbstractContextManager[None]:
        """Context of the full pass; keeps what the head saw and said."""

    def forget(self) -> None:
        """Drop what was kept."""

    def loss(
        self,
        feats: Sequence[Tensor],
        data_samples: SampleList,
        mapping: GeometricMap,
        soft_ramp: float,
    ) -> dict[str, Tensor]:
        """Losses and agreements of the active sub-network.

        Args:
            feats: Its feature maps, one (N, C, H, W) a level.
            data_samples: Labels of the original images.
            mapping: Where the transform moved things.
            soft_ramp: Factor of the soft losses, 0 to 1.

        Returns:
            Losses, with ``loss`` in their names, and statistics, without. Every output of
            the head is part of some loss, so that no parameter lacks a gradient.
        """


def untrained(*outputs: Tensor) -> Tensor:
    """A loss of zero that keeps outputs nobody trains in the graph.

    Several processes reduce a gradient for every parameter, so each has to have one.
    """
    # The sum of no entries, since zero times an infinite one would not be zero.
    return sum(output.flatten()[:0].float().sum() for output in outputs)  # type: ignore[return-value]
