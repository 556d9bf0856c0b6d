"""CutMix and Mixup of a batch (torchvision's), each with its probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import v2

MIXES = {'CutMix': v2.CutMix, 'MixUp': v2.MixUp}


class BatchMix:
    """One of several mixes of the images of a batch, or none.

    Args:
        mixes: ``dict(type='CutMix', alpha=1.0, prob=0.5)`` or ``dict(type='MixUp', ...)``, or a
            list of them. ``alpha`` is that of the beta distribution of shares, ``prob`` (default
            1) the share of batches that are mixed so; the others stay as they are.

    Raises:
        ValueError: If a mix is unknown, or a number out of its range.
    """

    def __init__(self, mixes: Any) -> None:
        listed: Sequence[Any] = [mixes] if isinstance(mixes, Mapping) else mixes
        self.mixes = [_build(mix) for mix in listed]
        total = sum(prob for prob, _ in self.mixes)
        if total > 1 + 1e-9:
            raise ValueError(
                f'data_preprocessor.mix has probabilities that sum up to {total:.4g}, expected at '
                f'most 1, since a batch is mixed once: {mixes!r}'
            )

    def __call__(self, images: Tensor, labels: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Mix a batch.

        Args:
            images: Images (N, C, H, W).
            labels: Their classes (N,).
            targets: The same as probabilities (N, classes).

        Returns:
            Mixed images and probabilities, or the given images and ``labels``.
        """
        draw = torch.rand(()).item()
        for prob, mix in self.mixes:
            if draw < prob:
                return mix(images, targets)
            draw -= prob
        return images, labels


def _build(mix: Any) -> tuple[float, Any]:
    """A mix and its probability."""
    options: dict[str, Any] = dict(mix) if isinstance(mix, Mapping) else {}
    name, prob = options.pop('type', None), options.pop('prob', 1.0)
    alpha = options.pop('alpha', 1.0)
    if name not in MIXES or options or not 0 <= prob <= 1 or not alpha > 0:
        raise ValueError(
            f'data_preprocessor.mix has {mix!r}, expected a type of {sorted(MIXES)}, alpha > 0 and '
            "prob from 0 to 1: for example dict(type='CutMix', alpha=1.0, prob=0.5)"
        )
    return float(prob), MIXES[name](alpha=alpha)
