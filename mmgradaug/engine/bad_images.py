"""Images that cannot be read: one clear error, or a counted warning and another sample.

Those that are of another size than their annotations say are warned of.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import torch
from mmcv.transforms import LoadImageFromFile
from mmdet.datasets.transforms import LoadImageFromNDArray
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS

from .jpeg import END, START, is_cut_off, lacks_end
from .samples import name_samples

HOW_TO_GO_ON = (
    'mend or remove the file, or train with other samples in place of up to N such images: '
    "default_hooks = dict(bad_images=dict(type='BadImagesHook', max_bad_images=N))"
)
WHY_NOT = (
    'mend the file, or take it out of the annotation file or class folder: a metric is over all '
    'images'
)
MOST_RESIZED = 5  # of them are named, of each data set


class BadImageError(ValueError):
    """An image file that is missing, unreadable or incomplete."""


class CutOffError(ValueError):
    """What is wrong with an image file that no decoder complains about."""


@HOOKS.register_module()
class BadImagesHook(Hook):
    """Names the file where an image cannot be read, and replaces a few such samples if asked to.

    JPEG files that end in the middle count as unreadable, although some decoders fill up what is
    missing with grey; those that lack the end marker alone are loaded. In validation and testing
    every bad image is an error, since a metric over other images is another metric. Whatever else
    goes wrong while a sample is loaded names the sample.

    Args:
        max_bad_images: Different image files of each training data set that each process may
            replace by a random other sample, with a warning that counts them; one more is an
            error.

    Raises:
        ValueError: If ``max_bad_images`` is no whole number >= 0.
    """

    priority = 'LOWEST'  # after hooks that switch pipelines

    def __init__(self, max_bad_images: int = 0) -> None:
        whole = isinstance(max_bad_images, int) and not isinstance(max_bad_images, bool)
        if not whole or max_bad_images < 0:
            raise ValueError(
                f'max_bad_images must be a whole number >= 0, got {max_bad_images!r}: how many '
                'different unreadable images training may replace'
            )
        self.max_bad_images = max_bad_images

    def before_train_epoch(self, runner: Any) -> None:
        """Check images from now on; pipelines may have been switched since the last epoch."""
        watch_samples(runner.train_dataloader.dataset, 'train_dataloader', self.max_bad_images)

    def before_val_epoch(self, runner: Any) -> None:
        """Check validation images."""
        watch_samples(runner.val_dataloader.dataset, 'val_dataloader', 0, WHY_NOT)

    def before_test_epoch(self, runner: Any) -> None:
        """Check test images."""
        watch_samples(runner.test_dataloader.dataset, 'test_dataloader', 0, WHY_NOT)


class CheckedLoading:
    """A pipeline's image loading that names the file where it fails.

    Args:
        load: The transform that reads the image at ``img_path`` of a sample.
        bad: Marks of the data set's samples found bad, uint8 in memory that worker processes
            share.
        max_bad_images: Samples that may be replaced.
        fix: What to do about one more.
    """

    def __init__(
        self, load: LoadImageFromFile, bad: torch.Tensor, max_bad_images: int, fix: str
    ) -> None:
        self.load = load
        self.fix = fix
        self.bad = bad
        self.max_bad_images = max_bad_images
        self.resized = torch.zeros_like(bad).share_memory_()

    def __call__(self, results: dict) -> dict | None:
        """Load the image; None asks the data set for another sample.

        Raises:
            BadImageError: If the image cannot be read and may not be replaced.
        """
        try:
            loaded = self._load(results)
        except Exception as error:  # decoders raise what they like
            self._count(results, error)
            return None
        # None where the user told the transform to ask for another sample.
        if loaded is None and not getattr(self.load, 'ignore_empty', False):
            self._count(results, CutOffError('nothing was decoded'))
        if loaded is not None and type(self.load) is LoadImageFromFile:
            self._compare_size(loaded)
        return loaded

    def _load(self, results: dict) -> dict | None:
        """Load the image.

        Raises:
            CutOffError: If pixels are missing.
            Exception: What the transform raises.
        """
        data = _jpeg_without_end(results['img_path'], self.load.backend_args)
        if data is None:
            return self.load(results)
        if is_cut_off(data):
            raise CutOffError('its last pixels are missing')
        return self._load_with_end(results, data)

    def _load_with_end(self, results: dict, data: bytes) -> dict | None:
        """Load a JPEG file of which nothing is missing but the end marker."""
        with tempfile.NamedTemporaryFile(suffix='.jpg') as file:
            file.write(data + END)
            file.flush()
            loaded = self.load({**results, 'img_path': file.name})
        return None if loaded is None else {**loaded, 'img_path': results['img_path']}

    def _count(self, results: dict, error: Exception) -> None:
        """Count a bad image; raise if there are too many."""
        path, sample = results['img_path'], results.get('sample_idx')
        known = isinstance(error, CutOffError)
        reason = str(error) if known else f'{type(error).__name__}: {error}'
        if sample is not None:
            new, self.bad[sample] = not self.bad[sample], 1
        count = int(self.bad.sum())
        if sample is None or count > self.max_bad_images:
            allowed = f', {count} images after {self.max_bad_images} allowed'
            raise BadImageError(
                f'cannot read the image {path} ({reason}{allowed if self.max_bad_images else ""}): '
                f'{self.fix}'
            ) from error
        if new:
            print_log(
                f'cannot read the image {path} ({reason}): another sample takes its place '
                f'(bad image {count} of at most {self.max_bad_images})',
                logger='current',
                level=logging.WARNING,
            )

    def _compare_size(self, results: dict) -> None:
        """Warn of an image that is not of the size for which its annotations were written.

        mmdet takes boxes for pixels of the image as it is read, here turned as its EXIF
        orientation says, but drops those outside the size that the file gives; masks and
        predicted masks are of both sizes. Whatever the reason, some objects are wrong or gone.
        """
        sample, told = results.get('sample_idx'), (results.get('height'), results.get('width'))
        read = tuple(results['img_shape'][:2])
        if sample is None or None in told or read == told or self.resized[sample]:
            return
        self.resized[sample] = 1
        count = int(self.resized.sum())
        if count > MOST_RESIZED:
            return
        more = '; further ones are not named' if count == MOST_RESIZED else ''
        print_log(
            f'the image {results["img_path"]} has {read[0]} x {read[1]} pixels (height x width, '
            f'turned as its EXIF orientation says), its annotations say {told[0]} x {told[1]}: '
            'boxes and masks will not fit; write the size as read to the annotations, and boxes '
            f'in its pixels{more}',
            logger='current',
            level=logging.WARNING,
        )

    def __getattr__(self, name: str) -> Any:
        """What others look for in the transform."""
        if name == 'load':  # while unpickling: there is nothing to ask yet
            raise AttributeError(name)
        return getattr(self.load, name)

    def __repr__(self) -> str:
        return repr(self.load)


def watch_samples(
    dataset: Any, loader: str, max_bad_images: int = 0, fix: str = HOW_TO_GO_ON
) -> None:
    """Make errors while a data set's samples are loaded name the file or the sample, in place.

    Args:
        dataset: See :func:`check_images`, as for the rest.
        loader: The config key of its data loader.
        max_bad_images: See :class:`BadImagesHook`.
        fix: What to do about one more.
    """
    check_images(dataset, max_bad_images, fix)
    name_samples(dataset, loader)


def check_images(dataset: Any, max_bad_images: int, fix: str = HOW_TO_GO_ON) -> None:
    """Make every image that a data set loads from a file a checked one, in place.

    Args:
        dataset: Any data set of mmdet; wrappers such as ``RepeatDataset`` are looked into.
        max_bad_images: See :class:`BadImagesHook`.
        fix: What to do about one more.
    """
    for leaf in _leaves(dataset):
        transforms = leaf.pipeline.transforms
        for place, transform in enumerate(transforms):
            if isinstance(transform, LoadImageFromFile) and not isinstance(
                transform, LoadImageFromNDArray
            ):
                bad = torch.zeros(len(leaf), dtype=torch.uint8).share_memory_()
                transforms[place] = CheckedLoading(transform, bad, max_bad_images, fix)


def _leaves(dataset: Any) -> Iterator[Any]:
    """The data sets with a pipeline behind wrappers."""
    inner = [getattr(dataset, name, None) for name in ('dataset', '_dataset')]
    inner += list(getattr(dataset, 'datasets', None) or [])
    for wrapped in inner:
        if wrapped is not None:
            yield from _leaves(wrapped)
    if hasattr(getattr(dataset, 'pipeline', None), 'transforms'):
        yield dataset


def _jpeg_without_end(path: str, backend_args: dict | None) -> bytes | None:
    """Content of a local JPEG file that lacks the end marker; None for all others.

    Files elsewhere are not fetched a second time for this.
    """
    local = isinstance(get_file_backend(path, backend_args=backend_args), LocalBackend)
    if not local or not os.path.isfile(path):
        return None
    with open(path, 'rb') as file:
        # Most files need no second look: two bytes at either end, of what is read in a moment.
        if file.read(2) != START:
            return None
        file.seek(-min(2, os.path.getsize(path)), os.SEEK_END)
        if file.read(2) == END:
            return None
        file.seek(0)
        data = file.read()
    return data if lacks_end(data) else None
