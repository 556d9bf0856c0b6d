"""What a checkpoint holds: its contents as plain data, and the weights among them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from .safe_loading import load_file

WRAPPER = 'module.'  # what wrappers for several processes put before names


def read_checkpoint(path: Path | str, key: str = '') -> dict[str, Any]:
    """Contents of a checkpoint that mmengine or ``torch.save`` wrote, on the CPU.

    Args:
        path: The file.
        key: The config key or option that names it, for messages.

    Raises:
        FileNotFoundError: If there is no such file.
        UnsafeCheckpointError: If it holds objects whose loading executes code; see
            :func:`~mmgradaug.checkpoints.safe_loading.load_file`.
        ValueError: If it is damaged or not a checkpoint.
    """
    try:
        contents = load_file(path)
        if not isinstance(contents, Mapping):
            raise ValueError(
                f'{path} holds a {type(contents).__name__}, expected a checkpoint: a dictionary '
                'with state_dict'
            )
    except (FileNotFoundError, ValueError) as error:
        if not key:
            raise
        raise type(error)(f'{key}: {error}') from error
    return dict(contents)


def weights_of(
    checkpoint: Mapping[str, Any], source: Path | str, prefix: str | None = None
) -> OrderedDict[str, Tensor]:
    """The weights of a checkpoint, under the names that mmengine's loader gives them.

    What torch keeps beside them goes along: versions, by which modules rename keys of old files.

    Args:
        checkpoint: Its contents: ``state_dict`` with other entries, or weights alone.
        source: Where it is from, for messages.
        prefix: Keep the weights whose names start with it, such as ``backbone``, without it.

    Raises:
        ValueError: If there are no weights, or some are NaN.
    """
    state = checkpoint.get('state_dict', checkpoint)
    named = state.items() if isinstance(state, Mapping) else ()
    start = WRAPPER if prefix is None else f'{prefix.removesuffix(".")}.'
    weights = OrderedDict(
        (str(name).removeprefix(start), value)
        for name, value in named
        if isinstance(value, Tensor) and (prefix is None or str(name).startswith(start))
    )
    if not weights:
        held = ', '.join(map(str, list(checkpoint)[:5])) or 'none'
        raise ValueError(
            f'{source} has no weights{f" that start with {start!r}" if prefix else ""} (its keys: '
            f'{held}), expected a checkpoint with state_dict'
        )
    _refuse_nan(weights, source)
    if hasattr(state, '_metadata'):
        weights._metadata = _renamed(state._metadata, start)  # type: ignore[attr-defined]
    return weights


def _refuse_nan(weights: Mapping[str, Tensor], source: Path | str) -> None:
    """Raise on weights that make every result NaN."""
    for name, weight in weights.items():
        wrong = int(weight.isnan().sum()) if weight.is_floating_point() else 0
        if wrong:
            raise ValueError(
                f'{source}: {wrong} of {weight.numel()} values of {name} are NaN, expected '
                'numbers: its training diverged, or the file is damaged; use an earlier checkpoint'
            )


def _renamed(versions: Mapping[str, Any], start: str) -> OrderedDict[str, Any]:
    """Versions of modules by names without ``start``, of which that of the module itself is ''."""
    return OrderedDict((f'{k}.'.removeprefix(start)[:-1], v) for k, v in versions.items())
