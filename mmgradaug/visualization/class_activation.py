"""Class activation maps (Zhou et al. 2016): where a classifier sees a class, as in figure 1."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def class_activation_maps(model: Any, inputs: Tensor, classes: Tensor) -> Tensor:
    """How much each place of an image speaks for a class.

    The map is the class's weights of the linear layer times the features of the place, plus its
    bias; so its mean is the class's logit. Inside :func:`~mmgradaug.at_width` it is a
    sub-network's.

    Args:
        model: A :class:`~mmgradaug.classification.Classifier`, in the mode that is wanted.
        inputs: Normalised images (N, C, H, W).
        classes: A class for each image (N,).

    Returns:
        Maps (N, h, w) of the size of the last features.
    """
    features = model.extract_feat(inputs)
    last = features if isinstance(features, Tensor) else features[-1]
    maps = torch.einsum('nchw,nc->nhw', last, model.fc.weight[classes])
    return maps + model.fc.bias[classes].view(-1, 1, 1)


def smooth_activation_maps(
    model: Any, inputs: Tensor, classes: Tensor, shifts: int = 2, step: int = 8
) -> Tensor:
    """Class activation maps in pixels, averaged over shifted images.

    Features of small images are a few cells only (2 x 2 of 64 x 64 pixels). Each shift puts the
    cells elsewhere on the image, so the average over shifts shows where between their centres
    the class is. A map counts less towards its edges, so that none shows in the average.

    Args:
        model: As of :func:`class_activation_maps`.
        inputs: Normalised images (N, C, H, W). What a shift brings in repeats their border.
        classes: A class for each image (N,).
        shifts: Shifts each way, up, down, left and right; 0 is the map alone.
        step: Pixels between shifts.

    Returns:
        Maps (N, H, W).
    """
    height, width = inputs.shape[-2:]
    margin = shifts * step
    moved = F.pad(inputs, [margin] * 4, mode='replicate')
    sums = inputs.new_zeros(len(inputs), height + 2 * margin, width + 2 * margin)
    weights = torch.zeros_like(sums)
    weight = torch.outer(_tent(height), _tent(width)).to(inputs)
    for top in range(0, 2 * margin + 1, step):
        for left in range(0, 2 * margin + 1, step):
            window = (..., slice(top, top + height), slice(left, left + width))
            maps = class_activation_maps(model, moved[window], classes)
            smooth = F.interpolate(maps[:, None], (height, width), mode='bilinear')[:, 0]
            sums[window] += weight * smooth
            weights[window] += weight
    inside = (..., slice(margin, margin + height), slice(margin, margin + width))
    return sums[inside] / weights[inside]


def _tent(length: int) -> Tensor:
    """Numbers (length,) that rise evenly to the middle and fall again, all above 0."""
    places = torch.arange(length) + 0.5
    return torch.minimum(places, length - places)
