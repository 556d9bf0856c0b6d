"""Accuracy under the fast gradient sign method (Goodfellow et al. 2014; GradAug, section 4.5)."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from ..errors import ConfigError

PAPER_EPSILONS = (0.05, 0.10, 0.15, 0.20, 0.25)  # Table 9, which does not say in which unit


def attack(
    network: Any, batches: Iterable[Any], epsilons: Sequence[float]
) -> dict[str, list[float]]:
    """Return a classifier's top-1 accuracy in per cent on images attacked with its own gradients.

    Returns:
        One accuracy for ``clean`` images, and one an epsilon for steps in ``pixels``, from 0 to 1,
        and ``normalised``, in units of what the network sees. Images end at black and white.
    """
    if not all(0 <= epsilon <= 1 for epsilon in epsilons):
        raise ConfigError(f'epsilons {list(epsilons)}, expected 0 to 1: 1 is from black to white')
    preprocessor = network.data_preprocessor
    black, white = ((value - preprocessor.mean) / preprocessor.std for value in (0, 255))
    steps = [0, *(255 * epsilon / preprocessor.std for epsilon in epsilons), *epsilons]
    right, images = [0] * len(steps), 0
    for batch in batches:
        data = preprocessor(batch, False)
        inputs, labels = data['inputs'].detach().requires_grad_(), data['data_samples']
        # A sum, so that gradients do not shrink with the size of the batch.
        loss = F.cross_entropy(network(inputs).float(), labels, reduction='sum')
        signs = torch.autograd.grad(loss, inputs)[0].sign()
        with torch.no_grad():
            for place, step in enumerate(steps):
                seen = (inputs + step * signs).clamp(black, white)
                right[place] += int((network(seen).argmax(1) == labels).sum())
        images += len(labels)
    first, *others = [100 * count / images for count in right]
    split = len(epsilons)
    return {'clean': [first], 'pixels': others[:split], 'normalised': others[split:]}
