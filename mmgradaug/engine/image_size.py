"""Images of too few pixels, which torch reports as features of some layer, OpenCV as a scale."""

from __future__ import annotations

import re

from torch import Tensor

from .error_origin import frames_of
from .error_text import message_of

# Of BatchNorm in training, of convolution and of pooling.
_TORCH_SAYS = re.compile(
    r'more than 1 value per channel when training'
    r"|Kernel size can't be greater than actual input size"
    r'|Output size is too small'
)
_OPENCV_SAYS = re.compile(r'inv_scale_x > 0|!dsize\.empty\(\)')
_IMAGES = ('batch_inputs', 'inputs', 'img')  # as mmdet's detectors and mmengine's models call them


def too_small(error: BaseException) -> str | None:
    """What to tell if an error came from images too small for the network, or of none; else None.

    Args:
        error: What stopped a run.
    """
    if _OPENCV_SAYS.search(str(error)):
        return (
            f'an image is resized to no pixel ({message_of(error)}): expected a scale of at least '
            'one pixel a side in Resize and other transforms of the pipeline, such as '
            'scale=(1333, 800), or leave out images of a few pixels (filter_cfg=dict(min_size=32))'
        )
    if not _TORCH_SAYS.search(str(error)):
        return None
    size = _image_size(error)
    what = 'an image is'
    if size is not None:
        what = f'{size[0]} images of {size[2]} x {size[3]} pixels (height x width) are'
    return (
        f'{what} too small for the network ({message_of(error)}): expected at least its largest '
        'stride on a side, 32 pixels for ResNet with FPN, and more than one value a channel where '
        'BatchNorm trains: use a larger scale in Resize (and in gradaug.transform), leave out '
        'narrow images (filter_cfg=dict(min_size=32)), or take more images a batch'
    )


def _image_size(error: BaseException) -> tuple[int, ...] | None:
    """Shape (N, C, H, W) of the images that a model had when an error came."""
    for frame in frames_of(error):
        for name in _IMAGES:
            images = frame.f_locals.get(name)
            if isinstance(images, Tensor) and images.dim() == 4:
                return tuple(images.shape)
    return None
