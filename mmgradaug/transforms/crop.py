"""A random crop of each image, resized: what sub-networks of an earlier release saw."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmengine.dist import get_rank
from torch import Tensor

from .base import SUBNET_TRANSFORMS, Transform
from .geometry import GeometricMap
from .scale import RandomScale, Scale

TRIES = 10  # as torchvision's RandomResizedCrop, before it takes the largest crop in the middle


@dataclass(frozen=True)
class ResizedCrop:
    """Cut a rectangle out of each image and resize all to one size.

    Attributes:
        scale: To which share of the original images' size.
        area: Smallest and largest share of the image's area that a crop has.
        ratio: Smallest and largest ratio of its width to its height.
        seed: Draws the crops, an image after the other.
    """

    scale: Scale
    area: tuple[float, float]
    ratio: tuple[float, float]
    seed: int

    def __call__(self, images: Tensor) -> tuple[Tensor, GeometricMap]:
        """Crop and resize images (N, C, H, W)."""
        in_size = (images.size(-2), images.size(-1))
        out_size = self.scale.out_size(in_size)
        crops = self.crops(len(images), in_size)
        return (
            resized_crops(images, crops, out_size, self.scale.align_corners),
            GeometricMap(in_size, out_size, cropped=True),
        )

    def crops(self, count: int, size: tuple[int, int]) -> list[tuple[int, int, int, int]]:
        """Top, left, height and width in pixels of each image's crop.

        Each process cuts its own images elsewhere, though all share the seed.
        """
        generator = random.Random(self.seed + get_rank())
        return [draw_crop(generator, size, self.area, self.ratio) for _ in range(count)]


@SUBNET_TRANSFORMS.register_module()
class RandomResizedCrop:
    """A random crop of each image of its own, at one of several sizes; for classifiers.

    Each image of each sub-network gets its own, as in torchvision's transform of that name. It is
    cut out of what the full network sees, which a config's pipeline may have cropped already; so
    ``area`` is a share of that.

    Args:
        scales: Factors of the batch's height and width, each as likely.
        area: Smallest and largest share of an image's area.
        ratio: Smallest and largest ratio of a crop's width to its height.
        align_corners: As of :class:`~mmgradaug.transforms.RandomScale`.

    Raises:
        ValueError: If scales are as :class:`~mmgradaug.transforms.RandomScale` takes none, or a
            range is empty or out of bounds.
    """

    crops_images = True

    def __init__(
        self,
        scales: Sequence[float],
        area: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        align_corners: bool = False,
    ) -> None:
        self.size = RandomScale(scales, align_corners=align_corners)
        self.area = _checked_range('area', area, 1.0, 'shares of the image such as (0.08, 1.0)')
        self.ratio = _checked_range('ratio', ratio, math.inf, 'width by height, as (0.75, 1.333)')

    def draw(self, generator: random.Random) -> Transform:
        """Draw a scale, and the seed of the crops."""
        scale = self.size.draw(generator)
        return ResizedCrop(scale, self.area, self.ratio, generator.getrandbits(64))


def draw_crop(
    generator: random.Random,
    size: tuple[int, int],
    area: tuple[float, float],
    ratio: tuple[float, float],
) -> tuple[int, int, int, int]:
    """Top, left, height and width of a crop whose area is uniform and its ratio log-uniform."""
    height, width = size
    for _ in range(TRIES):
        pixels = height * width * generator.uniform(*area)
        aspect = math.exp(generator.uniform(math.log(ratio[0]), math.log(ratio[1])))
        h, w = round(math.sqrt(pixels / aspect)), round(math.sqrt(pixels * aspect))
        if 0 < h <= height and 0 < w <= width:
            return generator.randint(0, height - h), generator.randint(0, width - w), h, w
    aspect = min(max(width / height, ratio[0]), ratio[1])
    h, w = min(height, round(width / aspect)), min(width, round(height * aspect))
    h, w = max(1, h), max(1, w)
    return (height - h) // 2, (width - w) // 2, h, w


def resized_crops(
    images: Tensor,
    crops: Sequence[tuple[int, int, int, int]],
    out_size: tuple[int, int],
    align_corners: bool,
) -> Tensor:
    """What ``F.interpolate`` makes of each image's crop, bilinearly, in one call for all.

    Args:
        images: Images (N, C, H, W).
        crops: Top, left, height and width of each one's crop.
        out_size: Height and width to resize to.
        align_corners: As of ``F.interpolate``.

    Returns:
        Crops (N, C, *out_size).
    """
    tops, lefts, heights, widths = torch.tensor(crops, device=images.device).unbind(1)
    rows = _source_places(tops, heights, out_size[0], images.size(-2), align_corners)
    columns = _source_places(lefts, widths, out_size[1], images.size(-1), align_corners)
    grid = torch.stack(
        [
            columns[:, None, :].expand(-1, out_size[0], -1),
            rows[:, :, None].expand(-1, -1, out_size[1]),
        ],
        dim=-1,
    )
    # The pixels that are read lie within the crops, so nothing is ever padded.
    grid = grid.to(images.dtype)
    return F.grid_sample(images, grid, 'bilinear', padding_mode='border', align_corners=True)


def _source_places(
    starts: Tensor, lengths: Tensor, out_length: int, in_length: int, align_corners: bool
) -> Tensor:
    """Where along an axis each output pixel is read, -1 to 1 for the image's outermost pixels.

    Args:
        starts: First pixel of each crop (N,).
        lengths: Pixels of each crop (N,).
        out_length: Pixels to resize to.
        in_length: Pixels of the image.
        align_corners: As of ``F.interpolate``.

    Returns:
        Places (N, out_length).
    """
    out = torch.arange(out_length, device=starts.device, dtype=torch.float64)
    last = (lengths - 1).double()[:, None]
    if align_corners:
        places = last * (out / max(out_length - 1, 1))
    else:
        ratio = lengths.double()[:, None] / out_length
        places = ((out + 0.5) * ratio - 0.5).clamp(min=0).minimum(last)
    return 2 * (starts[:, None] + places) / max(in_length - 1, 1) - 1


def _checked_range(name: str, value: Sequence[float], most: float, example: str) -> tuple:
    """Return a valid range of positive numbers."""
    is_pair = isinstance(value, (list, tuple)) and len(value) == 2
    numbers = is_pair and all(isinstance(v, (int, float)) for v in value)
    if not numbers or not 0 < value[0] <= value[1] <= most or math.isinf(value[1]):
        raise ValueError(
            f'RandomResizedCrop.{name} must be its smallest and largest value, '
            f'got {value!r}: {example}'
        )
    return tuple(float(v) for v in value)
