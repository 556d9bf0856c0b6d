"""Several transforms, one after the other."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .base import SUBNET_TRANSFORMS, Transform, build_transform, crops_images, possible_turns
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
class Unchanged:
    """The original images."""

    def draw(self, generator: random.Random) -> Transform:
        """There is nothing to draw."""
        return DrawnChain(())


@SUBNET_TRANSFORMS.register_module()
class Chain:
    """Apply transforms in order, for example rotate, then scale (GradAug, Table 5).

    Args:
        transforms: Their configs, at least one.

    Raises:
        ValueError: If there is none.
    """

    def __init__(self, transforms: Sequence[Any]) -> None:
        if not isinstance(transforms, (list, tuple)) or not transforms:
            raise ValueError(
                f'gradaug.transform needs a list of at least one transform, got {transforms!r}: '
                "for example [dict(type='RandomRotate'), dict(type='RandomScale', scales=[1.0, "
                '0.8])]; transform=None shows sub-networks the original images'
            )
        self.transforms = [build_transform(transform) for transform in transforms]

    @property
    def possible_turns(self) -> frozenset[int]:
        """Quarter turns, 0 to 3, that the drawn transforms may make together."""
        sums = {0}
        for transform in self.transforms:
            sums = {(a + b) % 4 for a in sums for b in possible_turns(transform)}
        return frozenset(sums)

    @property
    def crops_images(self) -> bool:
        """Whether one of the transforms does."""
        return any(crops_images(transform) for transform in self.transforms)

    def draw(self, generator: random.Random) -> Transform:
        """Draw every transform."""
        return DrawnChain(tuple(transform.draw(generator) for transform in self.transforms))
