import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

from mmgradaug.visualization.canvas import colour_at
from mmgradaug.visualization.objects import draw_objects
from tests.visualization.pictures import count_pixels

SIZE = (60, 80)
CLASSES = ['nucleus', 'other']


def make_instances(count=2, masks=False, size=SIZE):
    """Objects side by side, each 15 x 20 pixels."""
    boxes = torch.tensor([[20.0 * i, 10, 20 * i + 15, 30] for i in range(count)]).view(-1, 4)
    instances = InstanceData(bboxes=boxes, labels=torch.arange(count) % 2)
    if masks:
        bitmaps = np.zeros((count, *size), np.uint8)
        for bitmap, (x1, y1, x2, y2) in zip(bitmaps, boxes.int(), strict=True):
            bitmap[y1:y2, x1:x2] = 1
        instances.masks = BitmapMasks(bitmaps, *size)
    return instances


def drawn(instances, ignored=None):
    return draw_objects(np.full((*SIZE, 3), 20, np.uint8), instances, CLASSES, ignored)


def test_boxes_have_their_classes_colours_in_an_enlarged_image():
    image = drawn(make_instances())
    assert image.shape == (5 * 60, 5 * 80, 3)
    for label in (0, 1):
        # Blended with the ground.
        colour = [0.4 * int(colour_at(label)[i : i + 2], 16) + 0.6 * 20 for i in (1, 3, 5)]
        near = np.abs(image - np.asarray(colour)).max(axis=2) <= 2
        assert near.sum() > 200
        columns = np.flatnonzero(near.any(axis=0))
        assert columns.min() >= 100 * label - 3 and columns.max() <= 100 * label + 75 + 3


@pytest.mark.parametrize('as_tensor', [True, False])
def test_masks_tint_their_pixels_alone_and_are_padded_to_the_image(as_tensor):
    instances = make_instances(1, masks=True, size=(50, 70))
    if as_tensor:
        instances.masks = torch.as_tensor(instances.masks.masks).bool()
    changed = (drawn(instances) != 20).any(axis=2)
    assert changed[5 * 15 : 5 * 28, 5 * 3 : 5 * 12].all()
    assert not changed[5 * 35 :].any() and not changed[:, 5 * 25 :].any()


def test_ignored_regions_are_grey_and_nothing_to_draw_is_the_image():
    image = drawn(make_instances(1), make_instances(3)[2:])
    grey = '#535353'  # 179 over the ground
    assert count_pixels(image, grey) > 200 > count_pixels(drawn(make_instances(3)), grey)
    assert (drawn(make_instances(0, masks=True)) == 20).all()
    assert (drawn(make_instances(0), make_instances(0)) == 20).all()
