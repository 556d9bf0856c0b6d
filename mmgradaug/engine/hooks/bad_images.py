"""Images that cannot be read: one clear error, or a counted warning and another sample."""

import logging
import os
from typing import Any

import torch
from mmcv.transforms import LoadImageFromFile
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from PIL import Image

from ...errors import ConfigError
from ..cli import warn
from ..file_names import find_file, near_file

FIX = (
    'fix it, or take it out of the annotation file or class folder; in training, other samples can '
    'take the place of up to N images in each process: --cfg-options '
    'default_hooks.bad_images.max_bad_images=N'
)
JPEG_START, JPEG_END = b'\xff\xd8', b'\xff\xd9'


@HOOKS.register_module()
class BadImagesHook(Hook):
    """Names the file where an image cannot be read, and replaces a few such samples if asked to.

    Names may be spelt otherwise than on disk, see :func:`~mmgradaug.engine.file_names.find_file`.
    Missing files count, and JPEG files without their last pixels, which OpenCV fills with grey.
    In validation and testing every bad image is an error: a metric over other images is another
    metric. Images of another size than their annotations say are warned of.

    Args:
        max_bad_images: Different image files of each training data set that each process may
            replace by a random other sample, with a warning that counts them; one more is an
            error.
    """

    priority = 'LOWEST'  # after hooks that switch pipelines

    def __init__(self, max_bad_images: int = 0) -> None:
        self.max_bad_images = max_bad_images

    def _before_epoch(self, runner: Any, mode: str = 'train') -> None:
        """Check images from now on; pipelines may have been switched since the last epoch."""
        allowed = self.max_bad_images if mode == 'train' else 0
        check_loading(getattr(runner, f'{mode}_dataloader').dataset, allowed)


class CheckedLoading:
    """A pipeline's image loading that names the file where it fails."""

    def __init__(self, load: LoadImageFromFile, num_samples: int, max_bad_images: int) -> None:
        self.load, self.max_bad_images = load, max_bad_images
        # Marks of samples, in memory that worker processes share.
        self.bad = torch.zeros(num_samples, dtype=torch.bool).share_memory_()
        self.warned_of_size = False

    def __call__(self, results: dict) -> dict | None:
        """Load the image; None asks the data set for another sample.

        Raises:
            ConfigError: If the image cannot be read and may not be replaced.
        """
        if not isinstance(results.get('img_path'), str):  # images of the user's own data set
            return self.load(results)
        path = results['img_path'] = find_file(results['img_path'])
        annotated = results.get('height'), results.get('width')
        try:
            refuse_cut_off(path)
            loaded = self.load(results)
        except Exception as error:  # decoders raise what they like
            sample = results['sample_idx']
            new, self.bad[sample] = not self.bad[sample], True
            count, most = int(self.bad.sum()), self.max_bad_images
            reason = ' '.join(f'{type(error).__name__}: {error}'.split())
            text = f'cannot read the image {path}{near_file(path)} ({reason})'
            if count > most:
                more = f', {count} images after {most} allowed' if most else ''
                raise ConfigError(f'{text}{more}: {FIX}') from error
            if new:
                _warn(
                    f'{text}: another sample takes its place (bad image {count} of {most} allowed)'
                )
            return None
        # Boxes and masks would not fit images with an EXIF orientation, for instance.
        size = tuple(loaded['img_shape']) if loaded else annotated
        if None not in annotated and size != annotated and not self.warned_of_size:
            self.warned_of_size = True
            _warn(
                f'the image {path} is read with height and width {size}, its annotations say '
                f'{annotated}: write both, and the boxes, as it is read'
            )
        return loaded


def _warn(text: str) -> None:
    if rank := get_rank():  # whose logger keeps warnings to itself
        warn(f'process {rank}: {text}')
    else:
        print_log(text, logger='current', level=logging.WARNING)


def check_loading(dataset: Any, max_bad_images: int = 0) -> None:
    """Make every image that a data set, also a wrapped one, loads from a file a checked one."""
    inner = [dataset.dataset] if hasattr(dataset, 'dataset') else getattr(dataset, 'datasets', [])
    for wrapped in inner:
        check_loading(wrapped, max_bad_images)
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', [])
    for place, transform in enumerate(transforms):
        if isinstance(transform, LoadImageFromFile):
            transforms[place] = CheckedLoading(transform, len(dataset), max_bad_images)


def refuse_cut_off(path: str) -> None:
    """Let Pillow, which refuses truncated files, decode a local JPEG that lacks its end marker.

    Other decoders may fill what is missing with grey. Whole files cost two bytes at either end.

    Raises:
        OSError: If pixels are missing.
    """
    if not os.path.isfile(path):  # remote, or missing: that is told when it is loaded
        return
    with open(path, 'rb') as file:
        if file.read(2) != JPEG_START:
            return
        file.seek(-2, os.SEEK_END)
        if file.read(2) == JPEG_END:
            return
    with Image.open(path) as image:
        image.load()
