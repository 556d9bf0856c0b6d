"""Which of a run's two sets of weights to publish: the averaged or the trained ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..checkpoints.reading import WRAPPER, weights_of


def choose_weights(
    checkpoint: Mapping[str, Any], path: Path | str, averaged: bool | None = None
) -> dict[str, Tensor]:
    """The weights of a checkpoint under the detector's own names.

    mmengine's ``EMAHook`` exchanges the two sets when it saves: ``state_dict`` then holds the
    averaged weights, those that were validated, and ``ema_state_dict`` the trained ones.

    Args:
        checkpoint: Contents of the checkpoint.
        path: Its file, for messages.
        averaged: True for averaged weights, False for the trained ones; None for what the run
            validated, which are the averaged ones if there are any.

    Raises:
        ValueError: If the checkpoint has no weights, or averaged ones are asked for that it lacks.
    """
    has_average = 'ema_state_dict' in checkpoint
    if averaged and not has_average:
        raise ValueError(
            f'{path} has no averaged weights (no ema_state_dict), expected a checkpoint of a run '
            'with EMAHook: leave out --ema'
        )
    weights = weights_of(checkpoint, path)
    if averaged is False and has_average:
        trained = checkpoint['ema_state_dict']
        weights.update((k.removeprefix(WRAPPER), v) for k, v in trained.items() if k != 'steps')
    return weights
