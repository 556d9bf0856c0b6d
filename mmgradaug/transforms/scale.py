"""Random rescaling, the transform of the paper's main results."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from ..errors import ConfigError
from .base import SUBNET_TRANSFORMS
from .geometry import GeometricMap

# A twentieth of 1333 pixels is 67; four times the side is 16 times the pixels. Beyond lie
# mistakes, such as percentages.
SMALLEST, LARGEST = 0.05, 4.0


@dataclass(frozen=True)
class Scale:
    """Resize images bilinearly to ``factor`` times their height and width, rounded."""

    factor: float
    antialias: bool = False
    align_corners: bool = False

    def __call__(self, images: Tensor) -> tuple[Tensor, GeometricMap]:
        """Resize images (N, C, H, W)."""
        in_size = (images.size(-2), images.size(-1))
        height, width = (max(1, round(side * self.factor)) for side in in_size)
        out_size = (height, width)
        if out_size != in_size:
            images = F.interpolate(
                images,
                out_size,
                mode='bilinear',
                align_corners=self.align_corners,
                antialias=self.antialias,
            )
        return images, GeometricMap(in_size, out_size)


@SUBNET_TRANSFORMS.register_module()
class RandomScale:
    """One of several scales, each as likely (GradAug, section 4.1).

    Args:
        scales: Factors of height and width; the paper's {224, 192, 160, 128} pixels of 224
            are 1, 0.857, 0.714 and 0.571.
        antialias: Average over the pixels that a smaller one covers, as torchvision's
            ``resize`` does; the paper's resizing does not.
        align_corners: Put the centres of the corner pixels on each other, as the authors'
            classification code does, instead of the images' edges. What an image shows then
            lies up to half a pixel from where boxes and masks of a detector are moved to.

    Raises:
        ConfigError: If there is no scale or one is not from ``SMALLEST`` to ``LARGEST``.
    """

    def __init__(
        self, scales: Sequence[float], antialias: bool = False, align_corners: bool = False
    ) -> None:
        is_list = isinstance(scales, (list, tuple)) and len(scales) > 0
        if not is_list or not all(SMALLEST <= scale <= LARGEST for scale in scales):
            raise ConfigError(
                f'gradaug.transform.scales must be factors of height and width from {SMALLEST} to '
                f'{LARGEST}, got {scales!r}: for example [1.0, 0.8, 0.6, 0.4]'
            )
        self.scales = [float(scale) for scale in scales]
        self.antialias = antialias
        self.align_corners = align_corners

    def draw(self, generator: random.Random) -> Scale:
        """Draw one of the scales."""
        return Scale(generator.choice(self.scales), self.antialias, self.align_corners)
