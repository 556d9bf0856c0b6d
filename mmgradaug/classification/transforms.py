"""Transforms of single images for classifiers: torchvision's, and what it lacks.

They work on ``results['img']``, an image of bytes (C, H, W) in RGB, which the data preprocessor
normalises on the device.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import cv2
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose
from mmengine.registry import TRANSFORMS
from torchvision.transforms import AutoAugmentPolicy, InterpolationMode, v2

# Directions, as columns, in which the colours of ImageNet's pixels (from 0 to 1) vary, and how
# much: of AlexNet's colour augmentation, in the values everybody uses.
COLOUR_AXES = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)
COLOUR_SPREAD = (0.2175, 0.0188, 0.0045)


@TRANSFORMS.register_module()
class ToImageTensor(BaseTransform):
    """From what ``LoadImageFromFile`` gives, (H, W, 3) in BGR, to a tensor (3, H, W) in RGB."""

    def transform(self, results: dict) -> dict:
        """Convert the image of ``results``; bytes stay bytes."""
        # Many times as fast as a copy of img[..., ::-1], which took longer than to decode.
        rgb = cv2.cvtColor(results['img'], cv2.COLOR_BGR2RGB)
        results['img'] = torch.from_numpy(rgb).permute(2, 0, 1)
        return results


class OnImage(BaseTransform):
    """Applies one of torchvision's transforms to the image.

    Args:
        cls: Its class.
        options: As there; ``interpolation`` and ``policy`` may be names such as ``'bicubic'``.
    """

    def __init__(self, cls: type, options: dict[str, Any]) -> None:
        for key, kind in dict(interpolation=InterpolationMode, policy=AutoAugmentPolicy).items():
            if isinstance(options.get(key), str):
                options[key] = kind(options[key])
        self.function = cls(**options)

    def transform(self, results: dict) -> dict:
        """Apply it to the image (C, H, W) of ``results``."""
        results['img'] = self.function(results['img'])
        return results

    def __repr__(self) -> str:
        return f'torchvision/{self.function!r}'


for _name, _cls in vars(v2).items():  # torchvision/RandomResizedCrop and so on
    if inspect.isclass(_cls) and issubclass(_cls, v2.Transform) and _cls is not v2.Transform:
        build = lambda _cls=_cls, **options: OnImage(_cls, options)  # noqa: E731
        TRANSFORMS.register_module(f'torchvision/{_name}', force=True, module=build)


@TRANSFORMS.register_module()
class Lighting(BaseTransform):
    """Shifts all pixels by a random colour along the axes of ImageNet's colours (AlexNet).

    Args:
        std: Standard deviation of the shift in units of the colours' own. The shift is of
            pixels from 0 to 1 and here multiplied by 255, which matters: without that it is
            less than the rounding of a byte.
    """

    def __init__(self, std: float = 0.1) -> None:
        self.std = std

    def transform(self, results: dict) -> dict:
        """Shift the image of ``results``, bytes (3, H, W), and round to bytes again."""
        along = self.std * torch.randn(3) * torch.tensor(COLOUR_SPREAD)
        shift = 255 * torch.tensor(COLOUR_AXES) @ along
        # Pixels are whole numbers, so the shift may be rounded instead of what is shifted.
        whole = shift.round().to(torch.int16).view(3, 1, 1)
        results['img'] = (results['img'] + whole).clamp_(0, 255).to(torch.uint8)
        return results


@TRANSFORMS.register_module()
class Cutout(BaseTransform):
    """Fills a square around a random pixel (DeVries and Taylor 2017), cut at the border.

    Args:
        size: Side of the square in pixels: 16 for CIFAR-10, 8 for CIFAR-100, 112 for ImageNet.
        fill: Colour of the square, RGB from 0 to 255; the mean is 0 after normalisation.
    """

    def __init__(self, size: int, fill: Sequence[float] = (123.675, 116.28, 103.53)) -> None:
        self.size = size
        self.fill = torch.tensor(fill).round().view(-1, 1, 1)

    def transform(self, results: dict) -> dict:
        """Fill a square of the image (C, H, W) of ``results``."""
        image = results['img'].clone()
        height, width = image.shape[-2:]
        top = int(torch.randint(height, ())) - self.size // 2
        left = int(torch.randint(width, ())) - self.size // 2
        rows = slice(max(top, 0), top + self.size)
        columns = slice(max(left, 0), left + self.size)
        image[:, rows, columns] = self.fill.to(image.dtype)
        results['img'] = image
        return results


@TRANSFORMS.register_module()
class TwoViews(BaseTransform):
    """Two views of each image, as Mean Teacher compares: the same transforms, drawn twice.

    Args:
        transforms: Configs of the transforms of each view.
    """

    def __init__(self, transforms: Sequence[Any]) -> None:
        self.transforms = Compose(transforms)

    def transform(self, results: dict) -> dict:
        """Replace the image (C, H, W) of ``results`` by its views (2, C, H, W)."""
        results['img'] = torch.stack([self.transforms(dict(results))['img'] for _ in range(2)])
        return results


@TRANSFORMS.register_module()
class PackImage(BaseTransform):
    """The last transform: what a batch is made of."""

    def transform(self, results: dict) -> dict:
        """Keep the image and its class."""
        return {'inputs': results['img'].contiguous(), 'data_samples': results['gt_label']}
