"""A real fluorescence microscopy image with 125 labelled nuclei, as a COCO data set of 16 tiles.

The image (512 x 512 pixels, from the 2018 Data Science Bowl) and its instance labels are files
inside the wheel of StarDist 0.9.2 (BSD-3-Clause) on the Python package registry. The wheel is
downloaded when the data set is made and never installed.

- Split: columns x < 384 train (3 x 4 tiles of 128 x 128 pixels), the rest validate (4 tiles).
- A nucleus cut by a tile's border is kept as its part inside the tile, unless that is a sliver:
  less than :data:`MIN_AREA` pixels, or less than :data:`MIN_SHARE` of the nucleus. A nucleus on
  the line x = 384 so has a part in either split, of different pixels.
- Grey values: the 1 and the 99.8 percentile of the training columns become 0 and 255, clipped;
  the three channels of a tile are equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..engine.atomic import write_atomically
from .coco_writer import Instance, Sample, is_complete, write_coco
from .wheels import Fetch, WheelFiles

CLASSES = ('nucleus',)
SPLIT_COLUMN = 384
TILE = 128
MIN_AREA = 20
MIN_SHARE = 0.1
PERCENTILES = (1.0, 99.8)

REQUIREMENT = 'stardist==0.9.2'
SOURCE = WheelFiles(
    REQUIREMENT,
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
    'source': REQUIREMENT,
}

_README = f"""Nuclei, a small data set for the demo of mmgradaug
==================================================

train/, val/      tiles of {TILE} x {TILE} pixels of one fluorescence microscopy image
annotations/      their instance labels in COCO's format
source/           the original image and label image, unchanged

Source: stardist/data/images/img2d.tif and mask2d.tif in the Python package {REQUIREMENT}
(https://pypi.org/project/stardist/), Copyright (c) 2018-2025, Uwe Schmidt, Martin Weigert,
BSD 3-Clause License; the licence text is in source/LICENSE.txt where the wheel carries it.
By StarDist's own words, "Fluorescence microscopy image and mask from the 2018 kaggle DSB
challenge":

  Caicedo et al. "Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl."
  Nature Methods 16.12 (2019).

Changed here: grey values stretched to 8 bits (percentiles {PERCENTILES[0]} and {PERCENTILES[1]}
of the training columns become 0 and 255), the image cut into tiles (columns x < {SPLIT_COLUMN}
train, the rest validate), parts of nuclei left out that a tile's border leaves with less than
{MIN_AREA} pixels or {MIN_SHARE:.0%} of the nucleus.
"""


def make_nuclei(root: Path | str = 'data/nuclei', fetch: Fetch | None = None) -> Path:
    """Write the data set under ``root`` unless it is complete; returns ``root``.

    Args:
        root: Folder of the data set. The wheel's files are kept in ``source`` in it.
        fetch: Gets the wheel; pip by default.

    Raises:
        ConfigError: The files cannot be had, or they are not the expected ones.
    """
    root = Path(root)
    if all(is_complete(root, split, _INFO) for split in ('train', 'val')):
        return root
    SOURCE.require(root / 'source', fetch)
    write_atomically(_README.encode(), root / 'README.txt')
    # The image and the label image (0 is ground, each nucleus has a number), both (512, 512).
    image, labels = (
        np.asarray(Image.open(root / 'source' / name)).astype(np.uint16) for name in SOURCE.sha256
    )
    pixels = to_8_bit(image, reference=image[:, :SPLIT_COLUMN])
    for split, columns in (('train', (0, SPLIT_COLUMN)), ('val', (SPLIT_COLUMN, image.shape[1]))):
        write_coco(root, split, cut_tiles(pixels, labels, columns), CLASSES, _INFO)
    return root


def to_8_bit(image: NDArray[np.uint16], reference: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Stretch the reference's percentiles to 0 and 255.

    Args:
        image: (H, W) grey values.
        reference: The pixels whose :data:`PERCENTILES` are taken.

    Returns:
        (H, W, 3) uint8 with equal channels.
    """
    low, high = np.percentile(reference, PERCENTILES)
    stretched = (image.astype(np.float64) - low) / max(high - low, 1.0) * 255
    grey = np.clip(np.rint(stretched), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def cut_tiles(
    image: NDArray[np.uint8], labels: NDArray[np.uint16], columns: tuple[int, int]
) -> Iterator[Sample]:
    """Cut the columns ``columns[0] <= x < columns[1]`` into tiles.

    Args:
        image: (H, W, 3) uint8.
        labels: (H, W) numbers of nuclei, 0 is ground.
        columns: First column and the one after the last.

    Yields:
        A sample per tile, row by row, named by the tile's top left corner.
    """
    sizes = np.bincount(labels.ravel())  # of whole nuclei, by number
    for top in range(0, image.shape[0], TILE):
        for left in range(columns[0], columns[1], TILE):
            window = (slice(top, top + TILE), slice(left, min(left + TILE, columns[1])))
            name = f'tile_y{top:03d}_x{left:03d}.png'
            numbers, areas = np.unique(labels[window], return_counts=True)
            kept = [
                Instance(0, labels[window] == number)
                for number, area in zip(numbers, areas, strict=True)
                if number != 0 and area >= max(MIN_AREA, MIN_SHARE * sizes[number])
            ]
            yield Sample(name, image[window], kept)
