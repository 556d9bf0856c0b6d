"""Random masks: a share of an image's patches hidden, as masked sub-models see them."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ConfigError
from .base import SUBNET_TRANSFORMS
from .geometry import GeometricMap


@dataclass(frozen=True)
class Mask:
    """Set a share ``ratio`` of each image's square patches to zero, drawn from ``seed``."""

    ratio: float
    patch: int
    seed: int

    def __call__(self, images: Tensor) -> tuple[Tensor, GeometricMap]:
        """Mask images (N, C, H, W); where they were stays where it was."""
        height, width = size = (images.size(-2), images.size(-1))
        rows, columns = (-(-side // self.patch) for side in size)
        # Drawn on the CPU: GPUs of several makes give other numbers for the same seed.
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.rand(len(images), rows * columns, generator=generator).argsort(dim=1)
        hidden = round(self.ratio * rows * columns)
        keeps = torch.ones(order.shape).scatter_(1, order[:, :hidden], 0.0).to(images)
        keeps = keeps.view(-1, 1, rows, columns)
        keeps = F.interpolate(keeps, scale_factor=self.patch)[..., :height, :width]
        return images * keeps, GeometricMap(size, size)


@SUBNET_TRANSFORMS.register_module()
class RandomMask:
    """A random share of the patches of each image, set to zero (MaskSub, Heo et al., CVPR 2025).

    Images are normalised, so zero is the mean colour. Boxes and masks stay as they are, those of
    objects that are hidden, too. After a scale the patches are of the scaled images.

    Args:
        ratio: Share of the patches, rounded to a whole number of them.
        patch: Side of a patch in pixels; those at the right and bottom may be cut. MaskSub takes
            32 for images of 224.

    Raises:
        ConfigError: If the ratio is not between 0 and 1, or the patch no whole number of pixels.
    """

    def __init__(self, ratio: float = 0.5, patch: int = 32) -> None:
        if not 0 < ratio < 1:
            raise ConfigError(
                f'gradaug.transform.ratio={ratio!r}, expected a share of the patches above 0 and '
                'below 1: for example 0.5'
            )
        if not isinstance(patch, int) or patch < 1:
            raise ConfigError(
                f'gradaug.transform.patch={patch!r}, expected a whole number of pixels: for '
                'example 32 of 224'
            )
        self.ratio = ratio
        self.patch = patch

    def draw(self, generator: random.Random) -> Mask:
        """Draw which patches are hidden."""
        return Mask(self.ratio, self.patch, generator.getrandbits(63))
