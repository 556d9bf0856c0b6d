"""Read a checkpoint of a run as plain data: nothing in it is executed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..checkpoints.safe_loading import load_file


def read_checkpoint(path: Path | str) -> dict[str, Any]:
    """Contents of a checkpoint that mmengine or ``torch.save`` wrote, on the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a checkpoint, or holds objects whose loading executes code; see
            :func:`~mmgradaug.checkpoints.safe_loading.load_file`.
    """
    contents = load_file(path)
    if not isinstance(contents, Mapping):
        raise ValueError(
            f'{path} holds a {type(contents).__name__}, expected a dictionary with state_dict'
        )
    return dict(contents)


def weights_of(checkpoint: Mapping[str, Any], averaged: bool | None = None) -> dict[str, Tensor]:
    """The weights of a checkpoint under the detector's own names.

    mmengine's ``EMAHook`` exchanges the two sets when it saves: ``state_dict`` then holds the
    averaged weights, those that were validated, and ``ema_state_dict`` the trained ones.

    Args:
        checkpoint: What :func:`read_checkpoint` returned.
        averaged: True for averaged weights, False for the trained ones; None for what the run
            validated, which are the averaged ones if there are any.

    Raises:
        ValueError: If the checkpoint has no weights, or averaged ones are asked for that it lacks.
    """
    has_average = 'ema_state_dict' in checkpoint
    if averaged and not has_average:
        raise ValueError(
            'the checkpoint has no averaged weights (no ema_state_dict), expected one of a run '
            'with EMAHook: leave out --ema'
        )
    state = checkpoint.get('state_dict', checkpoint)
    if averaged is False and has_average:
        average = checkpoint['ema_state_dict']
        trained = {k.removeprefix('module.'): v for k, v in average.items() if k != 'steps'}
        state = {**state, **trained}
    tensors = {k.removeprefix('module.'): v for k, v in state.items() if isinstance(v, Tensor)}
    if not tensors:
        raise ValueError(
            f'the checkpoint has no weights, expected state_dict: it holds {sorted(checkpoint)}'
        )
    return tensors
