"""Objects are drawn in their colours, and their names where they hide little."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

from mmgradaug.visualization.canvas import BACKGROUND_COLOUR, colour_of, fix_layout, new_figure
from mmgradaug.visualization.objects import (
    Objects,
    colours_of,
    draw_objects,
    names_of,
    objects_of,
    overlay,
    with_ignored,
    write_names,
)

CLASSES = ['nucleus', 'other']


def make_objects(count: int = 3, classes: int = 2) -> Objects:
    """Objects side by side, each 15 x 20 pixels."""
    boxes = np.array([[20.0 * i, 10, 20 * i + 15, 30] for i in range(count)], dtype=np.float32)
    masks = np.zeros((count, 60, 80), dtype=bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.astype(int), strict=True):
        mask[y1:y2, x1:x2] = True
    return Objects(boxes.reshape(-1, 4), np.arange(count) % classes, masks)


def test_overlay_tints_the_mask_and_nothing_else() -> None:
    image, objects = np.full((60, 80, 3), 20, dtype=np.uint8), make_objects(1)
    assert objects.masks is not None
    tinted = overlay(image, objects, [colour_of(0)], strength=0.5)
    expected = np.rint(10 + 127.5 * np.asarray(to_rgb(colour_of(0))))
    assert np.abs(tinted[objects.masks[0]].astype(int) - expected).max() <= 1
    assert np.array_equal(tinted[~objects.masks[0]], image[~objects.masks[0]])
    assert (image == 20).all()
    boxes_only = Objects(objects.boxes, objects.labels)
    assert np.array_equal(overlay(image, boxes_only, ['red']), image)


def test_colours_and_names_tell_classes_and_ignored_regions() -> None:
    objects = make_objects()
    assert colours_of(objects, CLASSES) == [colour_of(0), colour_of(1), colour_of(0)]
    assert names_of(objects, CLASSES) == ['nucleus', 'other', 'nucleus']
    assert len(set(colours_of(objects, ['nucleus']))) == 3, 'one class: objects are told apart'
    both = with_ignored(objects, make_objects(1))
    assert colours_of(both, CLASSES)[3] == colours_of(both, ['nucleus'])[3] == BACKGROUND_COLOUR
    assert names_of(both, CLASSES)[3] == 'ignored nucleus'
    assert names_of(both, ['nucleus']) == ['', '', '', 'ignored']
    assert both.masks is not None and both.masks.shape == (4, 60, 80)
    assert with_ignored(objects, make_objects(0)) is objects


def test_masks_are_padded_to_the_batch() -> None:
    instances = InstanceData(
        bboxes=torch.tensor([[0.0, 0, 4, 4]]),
        labels=torch.tensor([1]),
        masks=BitmapMasks(np.ones((1, 4, 6), dtype=np.uint8), 4, 6),
    )
    masks = objects_of(instances, (8, 9)).masks
    assert masks is not None and masks.shape == (1, 8, 9)
    assert masks.sum() == masks[:, :4, :6].sum() == 24


@pytest.mark.parametrize('count', [1, 4, 40])
def test_names_cover_no_other_name_and_stay_in_the_frame(count: int) -> None:
    generator = np.random.default_rng(0)
    corners = generator.uniform(0, 60, (count, 2))
    boxes = np.concatenate([corners, corners + generator.uniform(2, 20, (count, 2))], 1)
    objects = Objects(boxes.clip(0, 80), generator.integers(0, 2, count))
    figure = new_figure(4, 4)
    axes = figure.subplots()
    draw_objects(axes, np.zeros((80, 80, 3), np.uint8), objects, CLASSES)
    fix_layout(figure)
    write_names(axes, objects, CLASSES)
    places = [text.get_window_extent() for text in axes.texts]
    assert len(places) == count or len(places) > 10 < count
    frame = axes.get_window_extent()
    for index, place in enumerate(places):
        assert frame.x0 <= place.x0 and place.x1 <= frame.x1
        assert frame.y0 <= place.y0 and place.y1 <= frame.y1
        assert not any(place.overlaps(other) for other in places[:index])
