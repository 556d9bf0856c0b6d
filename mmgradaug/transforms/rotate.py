"""Random quarter turns (GradAug, Table 5)."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import ConfigError
from .base import SUBNET_TRANSFORMS, Transform
from .geometry import GeometricMap


@dataclass(frozen=True)
class Rotate:
    """Turn images counter-clockwise by ``turns`` times 90 degrees."""

    turns: int

    def __call__(self, images: Tensor) -> tuple[Tensor, GeometricMap]:
        """Turn images (N, C, H, W)."""
        in_size = (images.size(-2), images.size(-1))
        turned = torch.rot90(images, self.turns, (-2, -1)) if self.turns else images
        # Contiguous: the backbone's first convolution is slow on a rotated view.
        turned = turned.contiguous()
        return turned, GeometricMap(in_size, (turned.size(-2), turned.size(-1)), self.turns)


@SUBNET_TRANSFORMS.register_module()
class RandomRotate:
    """One of several angles, each as likely.

    Args:
        angles: Degrees counter-clockwise, multiples of 90.

    Raises:
        ConfigError: If there is no angle or one is not a multiple of 90.
    """

    def __init__(self, angles: Sequence[int] = (0, 90, 180, 270)) -> None:
        if not angles or any(angle % 90 for angle in angles):
            raise ConfigError(
                f'gradaug.transform.angles must be multiples of 90 degrees, got {angles!r}: other '
                'angles leave no upright boxes; for example [0, 90, 180, 270]'
            )
        self.angles = [int(angle) for angle in angles]

    def draw(self, generator: random.Random) -> Transform:
        """Draw one of the angles."""
        return Rotate(generator.choice(self.angles) // 90 % 4)
