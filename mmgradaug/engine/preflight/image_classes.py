"""Classes of image data sets against each other and against the classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.model import is_model_wrapper

from ..error_text import listed
from ..errors import warn
from ..processes import is_main_process


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
        _warn_of_top_k(runner, loop, len(classes))
        first = first or (key, classes)
        if list(classes) != list(first[1]):
            raise ValueError(
                f'{key} has the classes {listed(classes, 4)}, {first[0]} has '
                f'{listed(first[1], 4)}, expected the same in the same order, since labels are '
                f'places in it; they differ first at {_difference(classes, first[1])}: give both '
                'the same class folders, or metainfo=dict(classes=[...])'
            )


def _warn_of_top_k(runner: Any, loop: str, number: int) -> None:
    """Warn of accuracies among so many best classes that no image can fail."""
    metrics = getattr(getattr(getattr(runner, f'{loop}_loop'), 'evaluator', None), 'metrics', [])
    for metric in metrics:
        topk = getattr(metric, 'topk', ())
        idle = [k for k in topk if k >= number] if isinstance(topk, (list, tuple)) else []
        if idle and is_main_process(runner.cfg.get('launcher', 'none')):
            warn(
                f'{loop}_evaluator.topk={tuple(topk)}: of {number} classes the right one is always '
                f'among the first {idle[0]}, so that accuracy is 100 %: use k below {number}'
            )


def _difference(one: Sequence[str], other: Sequence[str]) -> str:
    """The first names that differ, of lists of the same length or not."""
    for label, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return f'label {label} ({left!r} and {right!r})'
    return f'label {min(len(one), len(other))}'
