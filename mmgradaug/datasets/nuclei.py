"""A real fluorescence microscopy image with 125 labelled nuclei, as a COCO data set of 16 tiles.

The image (512 x 512 pixels) and its instance labels are files of StarDist's wheel. 12 tiles train
and 4 validate.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..engine.atomic import write_atomically
from .coco_writer import Sample, is_complete, write_coco
from .wheels import WheelFiles

CLASSES = ('nucleus',)
SPLIT_COLUMN = 384
TILE = 128
MIN_AREA = 20
MIN_SHARE = 0.1
PERCENTILES = (1.0, 99.8)

SOURCE = WheelFiles(
    'stardist==0.9.2',
    'stardist/data/images',
    {
        'img2d.tif': 'f9ccc1571b92c861ff87e28463068b43f61bd47357ed0503f711e5cd1eb97750',
        'mask2d.tif': '59ad5e820b7982ca9d13e946fa6e7f64e2714899e00a2ae6c69aa79aad53d46f',
    },
    otherwise='without a network, python tools/make_shapes.py generates a data set for '
    'python tools/train.py configs/mask_rcnn_r18_gradaug_shapes.py',
    # The files wanted are the same in every wheel; one named platform serves every machine.
    pip_options=(
        *('--platform', 'manylinux_2_28_x86_64', '--python-version', '3.11'),
        *('--implementation', 'cp', '--abi', 'cp311'),
    ),
)
_INFO: dict[str, Any] = {
    'description': 'nuclei: one fluorescence microscopy image in tiles',
    'recipe': 2,  # Raise when the tiles change, so that data sets on disk are made again.
    'source': SOURCE.requirement,
}

_README = f"""Nuclei, a small data set for the demo of mmgradaug
==================================================

train/, val/      tiles of {TILE} x {TILE} pixels of one fluorescence microscopy image
annotations/      their instance labels in COCO's format
source/           the original image and label image, unchanged

Source: stardist/data/images/img2d.tif and mask2d.tif in the Python package {SOURCE.requirement}
(https://pypi.org/project/stardist/), Copyright (c) 2018-2025, Uwe Schmidt, Martin Weigert,
BSD 3-Clause License, in source/LICENSE.txt. By StarDist's own words, "Fluorescence microscopy image
and mask from the 2018 kaggle DSB challenge":

  Caicedo et al. "Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl."
  Nature Methods 16.12 (2019).

Changed here: grey values stretched to 8 bits (percentiles {PERCENTILES[0]} and {PERCENTILES[1]}
of the training columns become 0 and 255), the image cut into tiles (columns x < {SPLIT_COLUMN}
train, the rest validate), parts of nuclei left out that a tile's border leaves with less than
{MIN_AREA} pixels or {MIN_SHARE:.0%} of the nucleus.
"""


def make_nuclei(root: Path | str = 'data/nuclei') -> Path:
    """Write the data set under ``root`` unless it is complete; returns ``root``."""
    root = Path(root)
    if all(is_complete(root, split, _INFO) for split in ('train', 'val')):
        return root
    SOURCE.require(root / 'source')
    write_atomically(_README.encode(), root / 'README.txt')
    # The image and the label image (0 is ground, each nucleus has a number), both (512, 512).
    image, labels = (np.asarray(Image.open(root / 'source' / name)) for name in SOURCE.sha256)
    low, high = np.percentile(image[:, :SPLIT_COLUMN], PERCENTILES)
    grey = np.clip(np.rint((image - low) / (high - low) * 255), 0, 255).astype(np.uint8)
    pixels = np.repeat(grey[..., None], 3, axis=2)
    splits = {'train': range(0, SPLIT_COLUMN, TILE), 'val': range(SPLIT_COLUMN, 512, TILE)}
    for split, columns in splits.items():
        write_coco(root, split, cut_tiles(pixels, labels, columns), CLASSES, _INFO)
    return root


def cut_tiles(
    image: NDArray[np.uint8], labels: NDArray[np.uint16], columns: Sequence[int]
) -> Iterator[Sample]:
    """Yield tiles of an image row by row, named by their top left corners.

    ``labels`` are numbers of nuclei, 0 is ground; ``columns`` the first columns of the tiles.
    """
    sizes = np.bincount(labels.ravel())  # of whole nuclei, by number
    for top in range(0, image.shape[0], TILE):
        for left in columns:
            window = (slice(top, top + TILE), slice(left, left + TILE))
            name = f'tile_y{top:03d}_x{left:03d}.png'
            numbers, areas = np.unique(labels[window], return_counts=True)
            kept = [
                (0, labels[window] == number)
                for number, area in zip(numbers, areas, strict=True)
                if number != 0 and area >= max(MIN_AREA, MIN_SHARE * sizes[number])
            ]
            yield Sample(name, image[window], kept)
