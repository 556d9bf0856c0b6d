"""Classes of image data sets against each other and against the classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.model import is_model_wrapper

from ..error_text import listed


def check_classes(runner: Any, loops: tuple[str, ...]) -> None:
    """Build the data sets of a run, and raise if they and the classifier differ in classes.

    Args:
        runner: A runner that has not run yet.
        loops: Of ``'train'``, ``'val'`` and ``'test'``, those that will run.

    Raises:
        FileNotFoundError, ValueError: What the data sets raise, and where classes differ.
    """
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    number = getattr(model, 'num_classes', None)
    first: tuple[str, Sequence[str]] | None = None
    for loop in loops:
        built = getattr(runner, f'{loop}_loop')
        classes = (getattr(built.dataloader.dataset, 'metainfo', {}) if built else {}).get(
            'classes'
        )
        if classes is None:
            continue
        key = f'{loop}_dataloader.dataset'
        if number is not None and len(classes) != number:
            raise ValueError(
                f'model.num_classes={number}, but {key} has {len(classes)} classes '
                f'({listed(classes, 4)}): set model.num_classes={len(classes)}, or '
                'metainfo.classes to what the model predicts'
            )
        first = first or (key, classes)
        if list(classes) != list(first[1]):
            raise ValueError(
                f'{key} has the classes {listed(classes, 4)}, {first[0]} has '
                f'{listed(first[1], 4)}, expected the same in the same order, since labels are '
                f'places in it; they differ first at {_difference(classes, first[1])}: give both '
                'the same class folders, or metainfo=dict(classes=[...])'
            )


def _difference(one: Sequence[str], other: Sequence[str]) -> str:
    """The first names that differ, of lists of the same length or not."""
    for label, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return f'label {label} ({left!r} and {right!r})'
    return f'label {min(len(one), len(other))}'
