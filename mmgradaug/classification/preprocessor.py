"""From bytes of pixels to a normalised batch on the device, which CutMix or Mixup may mix."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import ImgDataPreprocessor
from mmengine.registry import MODELS
from torch import Tensor
from torchvision.transforms import v2

from ..errors import ConfigError

MIXES = {'CutMix': v2.CutMix, 'MixUp': v2.MixUp}


class BatchMix:
    """One of several mixes of the images of a batch, or none.

    Args:
        mixes: ``dict(type='CutMix', alpha=1.0, prob=0.5)`` or ``dict(type='MixUp', ...)``, or a
            list of them. ``alpha`` is that of the beta distribution of shares, ``prob`` (default
            1) the share of batches that are mixed so; the others stay as they are.
    """

    def __init__(self, mixes: Any) -> None:
        listed = [mixes] if isinstance(mixes, Mapping) else mixes
        self.mixes = [self._build(**mix) for mix in listed]

    def _build(self, type: str, alpha: float = 1.0, prob: float = 1.0) -> tuple[float, Any]:
        return prob, MIXES[type](alpha=alpha)

    def __call__(self, images: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
        """Return mixed images (N, C, H, W) and probabilities (N, classes), or what is given."""
        draw = torch.rand(()).item()
        for prob, mix in self.mixes:
            if draw < prob:
                return mix(images, F.one_hot(labels, classes).float())
            draw -= prob
        return images, labels


@MODELS.register_module()
class ImagePreprocessor(ImgDataPreprocessor):
    """Normalises images on the device, where they arrive as bytes, and mixes training batches.

    Args:
        mean: Mean of each channel, of pixels from 0 to 255.
        std: Standard deviation of each channel.
        mix: What mixes images and labels of a training batch, see :class:`BatchMix`. With
            GradAug, sub-networks see transforms of the mixed images.
        non_blocking: Whether copies to a GPU may overlap with other work, which needs
            ``pin_memory=True`` in the loader.
    """

    num_classes: int  # set by the classifier

    def __init__(
        self,
        mean: Sequence[float] = (123.675, 116.28, 103.53),
        std: Sequence[float] = (58.395, 57.12, 57.375),
        mix: Any = None,
        non_blocking: bool = True,
    ) -> None:
        super().__init__(mean, std, non_blocking=non_blocking)
        self.mix = BatchMix(mix) if mix else None

    def forward(self, data: dict, training: bool = False) -> dict[str, Any]:
        """Normalise a batch, and mix one that trains.

        Args:
            data: ``inputs``, images (N, C, H, W) or a list of (C, H, W), or V views of each,
                (N, V, C, H, W), and ``data_samples``, labels (N,) or a list of numbers; on any
                device.
            training: Whether to mix.

        Returns:
            ``inputs`` (N, C, H, W) in float32, of several views (V * N, C, H, W), the first of
            all images first, and ``data_samples``: labels (N,), probabilities (N, classes) where
            the batch is mixed, or None.

        Raises:
            ConfigError: If images without a label would be mixed.
        """
        if isinstance(data['inputs'], Tensor) and data['inputs'].dim() == 5:
            data = {**data, 'inputs': data['inputs'].transpose(0, 1).flatten(0, 1)}
        mix = self.mix if training and data.get('data_samples') is not None else None
        if mix and torch.as_tensor(data['data_samples']).min() < 0:
            raise ConfigError(
                'data_preprocessor.mix mixes labels, and a batch has images without: remove mix, '
                'or train_dataloader.batch_sampler and train_dataloader.dataset.unlabelled'
            )
        batch: Any = super().forward(data, training)
        images, labels = batch['inputs'], batch['data_samples']
        if labels is not None:
            labels = torch.as_tensor(labels, device=images.device)
        if mix:
            images, labels = mix(images, labels, self.num_classes)
        return {'inputs': images, 'data_samples': labels}
