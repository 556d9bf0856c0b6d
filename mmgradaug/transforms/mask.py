"""Random masks: images of which a share of the patches is hidden."""

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
    """Set a share of each image's square patches to zero; ``seed`` draws them."""

    ratio: float
    patch: int
    seed: int

    def __call__(self, images: Tensor) -> tuple[Tensor, GeometricMap]:
        """Mask images (N, C, H, W), each elsewhere."""
        height, width = size = (images.size(-2), images.size(-1))
        rows, columns = (-(-side // self.patch) for side in size)
        # On the CPU, since a GPU gives other numbers for the same seed.
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.rand(len(images), rows * columns, generator=generator).argsort(dim=1)
        hidden = min(round(self.ratio * rows * columns), rows * columns - 1)  # never the whole
        keeps = (order >= hidden).view(-1, 1, rows, columns)
        keeps = F.interpolate(keeps.to(images), scale_factor=self.patch)[..., :height, :width]
        return images * keeps, GeometricMap(size, size)


@SUBNET_TRANSFORMS.register_module()
class RandomMask:
    """A random share of each image's patches set to zero (MaskSub, Heo et al., CVPR 2025).

    Zero is the mean colour where the preprocessor subtracts one. Boxes and masks stay as they are,
    and so do images of a single patch.

    Args:
        ratio: Share of the patches.
        patch: Side of a patch in pixels, of what comes before in a chain; MaskSub takes 32 of 224.

    Raises:
        ConfigError: If the ratio is no share, or the patch no whole number.
    """

    def __init__(self, ratio: float = 0.5, patch: int = 32) -> None:
        if not 0 < ratio < 1 or not isinstance(patch, int) or patch < 1:
            raise ConfigError(
                f'gradaug.transform of RandomMask has ratio={ratio!r} and patch={patch!r}, '
                'expected a share between 0 and 1 and whole pixels: for example 0.5 and 32'
            )
        self.ratio, self.patch = ratio, patch

    def draw(self, generator: random.Random) -> Mask:
        """Draw which patches are hidden."""
        return Mask(self.ratio, self.patch, generator.getrandbits(63))
