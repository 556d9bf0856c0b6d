"""Samples that cannot be loaded: which one, and which transform of the pipeline failed."""

from __future__ import annotations

from typing import Any

from mmcv.transforms import BaseTransform

from .error_origin import frames_of, is_about_input, is_ours, place_of
from .error_text import message_of


class SampleError(ValueError):
    """A sample whose loading failed."""


def load_sample(dataset: Any, index: Any) -> Any:
    """Load a sample of a data set.

    Raises:
        SampleError: If that fails: the sample, the transform, and what it says.
    """
    try:
        return dataset[index]
    except Exception as error:  # transforms raise what they like
        if is_ours(error):  # a bad image, which says enough
            raise
        raise SampleError(_message(error, index)) from error


def _message(error: Exception, index: Any) -> str:
    """Why a sample could not be loaded."""
    transform, path = _transform_of(error)
    by = f' by {transform}' if transform else ''
    at = f' ({path})' if path else ''
    where = '' if is_about_input(error) else f', at {place_of(error)}'
    return (
        f'sample {index}{at} of the training data cannot be loaded{by}: {type(error).__name__}: '
        f'{message_of(error)}{where}: correct train_dataloader.dataset (its pipeline, and options '
        'of the data set), or the sample'
    )


def _transform_of(error: Exception) -> tuple[str | None, str | None]:
    """The transform that failed and the image it had, if there is one."""
    for frame in frames_of(error):
        transform, results = frame.f_locals.get('self'), frame.f_locals.get('results')
        if isinstance(transform, BaseTransform) and isinstance(results, dict):
            return type(transform).__name__, results.get('img_path')
    return None, None
