"""Several transforms, one after the other."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .base import SUBNET_TRANSFORMS, Transform, build_transform, possible_turns
from .geometry import GeometricMap


@dataclass(frozen=True)
class DrawnChain:
    """Drawn transforms, applied in order; none is the identity."""

    transforms: tuple[Transform, ...]

    def __call__(self, images: Tensor) -> tuple[Tensor, GeometricMap]:
        """Transform images (N, C, H, W)."""
        size = (images.size(-2), images.size(-1))
        mapping = GeometricMap(size, size)
        for transform in self.transforms:
            images, step = transform(images)
            mapping = mapping.then(step)
        return images, mapping


@SUBNET_TRANSFORMS.register_module()
class Chain:
    """Apply transforms in order, for example rotate, then scale (GradAug, Table 5).

    Args:
        transforms: Their configs.
    """

    def __init__(self, transforms: Sequence[Any]) -> None:
        self.transforms = [build_transform(transform) for transform in transforms]

    @property
    def possible_turns(self) -> frozenset[int]:
        """Quarter turns, 0 to 3, that the drawn transforms may make together."""
        sums = {0}
        for transform in self.transforms:
            sums = {(a + b) % 4 for a in sums for b in possible_turns(transform)}
        return frozenset(sums)

    def draw(self, generator: random.Random) -> Transform:
        """Draw every transform."""
        return DrawnChain(tuple(transform.draw(generator) for transform in self.transforms))
