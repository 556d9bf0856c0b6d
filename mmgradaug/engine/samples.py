"""Samples that cannot be loaded: which one, and which transform of the pipeline failed."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from mmcv.transforms import BaseTransform
from mmengine.dataset import BaseDataset
from torch.utils.data import IterableDataset

from .error_origin import frames_of, is_about_input, is_ours, place_of
from .error_text import message_of


class SampleError(ValueError):
    """A sample whose loading failed."""


class NamingFetch:
    """Loads the samples of a batch with errors that name them.

    Args:
        dataset: The data set.
        loader: The config key of its data loader.
    """

    def __init__(self, dataset: Any, loader: str) -> None:
        self.dataset = dataset
        self.loader = loader

    def __call__(self, indices: Iterable[Any]) -> list[Any]:
        """Load samples by their indices."""
        return [load_sample(self.dataset, index, self.loader) for index in indices]


def name_samples(dataset: Any, loader: str) -> None:
    """Make errors that come while a data set's samples are loaded name the sample, in place.

    Args:
        dataset: Any data set; one that loads whole batches itself is left alone.
        loader: The config key of its data loader, such as ``'val_dataloader'``.
    """
    # torch's fetcher prefers this to one index at a time.
    if not isinstance(dataset, IterableDataset) and not hasattr(dataset, '__getitems__'):
        dataset.__getitems__ = NamingFetch(dataset, loader)


def load_sample(dataset: Any, index: Any, loader: str = 'train_dataloader') -> Any:
    """Load a sample of a data set.

    Args:
        dataset: The data set.
        index: Which sample.
        loader: The config key of its data loader.

    Raises:
        SampleError: If that fails: the sample, the transform, and what it says.
    """
    try:
        return dataset[index]
    except Exception as error:  # transforms raise what they like
        if is_ours(error):  # a bad image, which says enough
            raise
        raise SampleError(
            f'sample {index}{_why(error)}: correct {loader}.dataset (its pipeline, and options of '
            'the data set), or the sample'
        ) from error


def _why(error: Exception) -> str:
    """Of which image a sample is, and why it could not be loaded."""
    nothing = _why_nothing(error)
    if nothing:
        return nothing
    transform, path = _transform_of(error)
    by = f' by {transform}' if transform else ''
    at = f' ({path})' if path else ''
    where = '' if is_about_input(error) else f', at {place_of(error)}'
    return f'{at} cannot be loaded{by}: {type(error).__name__}: {message_of(error)}{where}'


def _transform_of(error: Exception) -> tuple[str | None, str | None]:
    """The transform that failed and the image it had, if there is one."""
    for frame in frames_of(error):
        transform, results = frame.f_locals.get('self'), frame.f_locals.get('results')
        if isinstance(transform, BaseTransform) and isinstance(results, dict):
            return type(transform).__name__, results.get('img_path')
    return None, None


def _why_nothing(error: Exception) -> str | None:
    """What :func:`_why` says where a pipeline gave None, and mmengine an error without a name."""
    *_, last = frames_of(error)
    if last.f_code is not BaseDataset.__getitem__.__code__:
        return None
    dataset, index = last.f_locals['self'], last.f_locals['idx']
    others = '' if dataset.test_mode else f', nor for {dataset.max_refetch} others in its place'
    text = f' cannot be loaded: the pipeline gives nothing for it{others}'
    transform, path = _giver_of_none(dataset, index)
    at = f' for {path}' if path else ''
    return f'{text}: {transform} returned None{at}' if transform else text


def _giver_of_none(dataset: BaseDataset, index: int) -> tuple[str | None, str | None]:
    """The transform that returns None for a sample, and the sample's image; tried once more."""
    with suppress(Exception):  # it need not do the same again
        results = dataset.get_data_info(index)
        path = results.get('img_path')
        for transform in dataset.pipeline.transforms:
            results = transform(results)
            if results is None:
                return type(getattr(transform, 'load', transform)).__name__, path
    return None, None
