"""What tests look for in pictures."""

import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image


def pixels_of(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert('RGB')).astype(int)


def count_pixels(pixels, colour, distance=2):
    """Pixels (H, W, 3) within so many grey levels of a colour."""
    wanted = np.rint(255 * np.asarray(to_rgb(colour)))
    return int((np.abs(pixels - wanted).max(axis=2) <= distance).sum())
