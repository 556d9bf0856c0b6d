"""Boxes that reach beyond their images, as those of other formats do when read as COCO's."""

from __future__ import annotations

from ..errors import warn
from .coco_file import CocoFile

# Rounding, and boxes drawn over the edge by hand, are not a format's fault.
_TOLERANCE = 2.0  # pixels


def warn_of_boxes_beyond(content: CocoFile, key: str) -> None:
    """Warn, once a file, if its boxes look like ``[x1, y1, x2, y2]`` or are of other image sizes.

    Corners read as ``[x, y, width, height]`` end at ``x1 + x2``, beyond the image for every box
    whose centre is in its right or lower half: three quarters of boxes spread evenly, and hardly
    less than half of any others. Besides, all of them are corners of a box inside the image,
    ``x1 < x2 <= width``, which few boxes of COCO's format are: their ``width`` would have to be
    greater than their ``x``, and their ``height`` than their ``y``. A quarter beyond together
    with nearly all possible as corners is what no labelling does by chance, be it amodal boxes
    (whole people at the edge of the image), of which up to a fifth reach beyond. More than half
    beyond is wrong in any case: boxes of images before they were made smaller, for instance.

    Args:
        content: The annotation file.
        key: The config key of its reader.
    """
    boxes = beyond = corners = 0
    for annotation in content.annotations:
        image = content.images.get(annotation['image_id'])
        if image is None or annotation.get('ignore'):
            continue
        x, y, third, fourth = annotation['bbox']
        right, bottom = image['width'] + _TOLERANCE, image['height'] + _TOLERANCE
        boxes += 1
        beyond += x + third > right or y + fourth > bottom or min(x, y) < -_TOLERANCE
        corners += x < third <= right and y < fourth <= bottom
    likely = corners >= 0.95 * boxes
    if beyond > (0.25 if likely else 0.5) * boxes:
        asked = 'is the file [x1, y1, x2, y2]' if likely else 'are they of larger images'
        warn(
            f'{content.path} ({key}): {beyond} of {boxes} boxes reach beyond their image; expected '
            f'[x, y, width, height] in pixels of an image of the width and height that the file '
            f'gives it: {asked}?'
        )
