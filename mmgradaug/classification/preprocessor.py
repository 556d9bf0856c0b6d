"""From bytes of pixels to a normalised batch on the device, mixed if asked to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import MODELS
from torch import Tensor

from .mixing import BatchMix


@MODELS.register_module()
class ImagePreprocessor(BaseDataPreprocessor):
    """Normalises images on the device, where they arrive as bytes, and mixes training batches.

    Args:
        mean: Mean of each channel, of pixels from 0 to 255.
        std: Standard deviation of each channel.
        mix: What mixes images and labels of a training batch, see :class:`BatchMix`. With
            GradAug, sub-networks see transforms of the mixed images.
        non_blocking: Whether copies to a GPU may overlap with other work, which needs
            ``pin_memory=True`` in the loader.

    Attributes:
        num_classes: Number of classes; set by the classifier.

    Raises:
        ValueError: If ``mix`` is wrong, or mean and standard deviation differ in length.
    """

    mean: Tensor
    std: Tensor
    num_classes: int

    def __init__(
        self,
        mean: Sequence[float] = (123.675, 116.28, 103.53),
        std: Sequence[float] = (58.395, 57.12, 57.375),
        mix: Any = None,
        non_blocking: bool = True,
    ) -> None:
        super().__init__(non_blocking)
        if len(mean) != len(std) or not all(s > 0 for s in std):
            raise ValueError(
                f'data_preprocessor.std must be positive and as long as mean, got mean={mean!r}, '
                f'std={std!r}: one number a channel, of pixels from 0 to 255'
            )
        self.register_buffer('mean', torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(-1, 1, 1), persistent=False)
        self.mix = BatchMix(mix) if mix else None

    def forward(self, data: dict, training: bool = False) -> dict[str, Any]:
        """Normalise a batch.

        Args:
            data: ``inputs``, images (N, C, H, W) or a list of (C, H, W), and ``data_samples``,
                labels (N,) or a list of numbers; on any device.
            training: Whether to mix.

        Returns:
            ``inputs`` (N, C, H, W) in float32, and ``data_samples``: labels (N,), probabilities
            (N, classes) where the batch is mixed, or None.
        """
        cast: Any = self.cast_data(data)
        images, labels = cast['inputs'], cast.get('data_samples')
        if not isinstance(images, Tensor):
            images = torch.stack(list(images))
        if labels is not None and not isinstance(labels, Tensor):
            labels = torch.as_tensor(labels, device=images.device)
        images = (images.float() - self.mean) / self.std
        if training and self.mix is not None and labels is not None:
            targets = F.one_hot(labels, self.num_classes).float()
            images, labels = self.mix(images, labels, targets)
        return {'inputs': images, 'data_samples': labels}
