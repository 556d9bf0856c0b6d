"""Accuracy under the fast gradient sign method (Goodfellow et al. 2014; GradAug, section 4.5)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ConfigError

PAPER_EPSILONS = (0.05, 0.10, 0.15, 0.20, 0.25)  # Table 9, which does not say of which unit
UNITS = ('pixels', 'normalised')


def gradient_signs(network: Any, images: Tensor, labels: Tensor) -> Tensor:
    """Return the signs of the gradient of the cross entropy with labels (N,).

    The network, in evaluation mode, takes the normalised images (N, C, H, W) to logits.
    """
    images = images.detach().requires_grad_()
    # A sum, so that gradients do not shrink with the size of the batch.
    loss = F.cross_entropy(network(images).float(), labels, reduction='sum')
    return torch.autograd.grad(loss, images)[0].sign()


def perturb(
    images: Tensor, signs: Tensor, epsilon: float, preprocessor: Any, units: str = 'pixels'
) -> Tensor:
    """Return images moved by epsilon along the signs, and clipped to what pixels can be.

    Args:
        images: Normalised images (N, C, H, W).
        signs: Those of :func:`gradient_signs`.
        epsilon: Size of the step.
        preprocessor: The classifier's, with ``mean`` and ``std`` (C, 1, 1) of pixels from 0 to 255.
        units: Of epsilon: ``'pixels'``, from 0 to 1, or ``'normalised'``, of what the network sees.
    """
    mean, std = preprocessor.mean, preprocessor.std
    step = 255 * epsilon / std if units == 'pixels' else epsilon
    return (images + step * signs).clamp(-mean / std, (255 - mean) / std)


def attack(
    network: Any, batches: Iterable[Any], epsilons: Sequence[float]
) -> dict[str, list[float]]:
    """Return a classifier's top-1 accuracy in per cent on images attacked with its own gradients.

    Returns:
        One accuracy for ``clean`` images, and one an epsilon for each of :data:`UNITS`.
    """
    if not all(0 <= epsilon <= 1 for epsilon in epsilons):
        raise ConfigError(f'epsilons {list(epsilons)}, expected 0 to 1: 1 is from black to white')
    pairs = [(epsilon, units) for units in UNITS for epsilon in epsilons]
    right, images = [0] * (1 + len(pairs)), 0
    for batch in batches:
        data = network.data_preprocessor(batch, False)
        inputs, labels = data['inputs'], data['data_samples']
        signs = gradient_signs(network, inputs, labels)
        moves = (perturb(inputs, signs, e, network.data_preprocessor, u) for e, u in pairs)
        with torch.no_grad():
            for place, seen in enumerate(chain([inputs], moves)):
                right[place] += int((network(seen).argmax(1) == labels).sum())
        images += len(labels)
    accuracies, split = [100 * count / images for count in right], 1 + len(epsilons)
    found = accuracies[:1], accuracies[1:split], accuracies[split:]
    return dict(zip(('clean', *UNITS), found, strict=True))
