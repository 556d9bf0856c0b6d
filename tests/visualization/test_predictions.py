"""Labels and predictions are drawn where they are."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from mmgradaug.visualization.canvas import colour_of
from mmgradaug.visualization.predictions import (
    LabelledImage,
    Objects,
    colours_of,
    overlay,
    save_predictions,
)


def make_row() -> LabelledImage:
    """A dark image with one label and three predictions."""
    image = np.full((60, 80, 3), 20, dtype=np.uint8)
    masks = np.zeros((3, 60, 80), dtype=bool)
    for index in range(3):
        masks[index, 10:30, 20 * index : 20 * index + 15] = True
    boxes = np.array([[20.0 * i, 10, 20 * i + 15, 30] for i in range(3)], dtype=np.float32)
    labels = np.array([0, 1, 0])
    scores = np.array([0.9, 0.5, 0.2], dtype=np.float32)
    truth = Objects(boxes[:1], labels[:1], masks[:1])
    return LabelledImage('tile', image, truth, Objects(boxes, labels, masks, scores))


def test_threshold_keeps_scores_at_and_above_it() -> None:
    row = make_row()
    kept = row.predictions.above(0.5)
    assert kept.labels.tolist() == [0, 1]
    assert kept.masks is not None
    assert kept.masks.shape == (2, 60, 80)
    assert row.labels.above(0.5) is row.labels


def test_overlay_tints_the_mask_and_nothing_else() -> None:
    row = make_row()
    assert row.labels.masks is not None
    mask = row.labels.masks[0]
    tinted = overlay(row.image, row.labels, [colour_of(0)], strength=0.5)
    expected = np.rint(10 + 127.5 * np.asarray(to_rgb(colour_of(0))))
    assert np.abs(tinted[mask].astype(int) - expected).max() <= 1
    assert np.array_equal(tinted[~mask], row.image[~mask])
    assert (row.image == 20).all()


def test_a_lone_class_gives_every_object_its_own_colour() -> None:
    objects = make_row().predictions
    assert colours_of(objects, ['a', 'b']) == [colour_of(0), colour_of(1), colour_of(0)]
    assert len(set(colours_of(objects, ['a']))) == 3


def test_overlay_takes_boxes_without_masks() -> None:
    row = make_row()
    boxes_only = Objects(row.predictions.boxes, row.predictions.labels)
    assert np.array_equal(overlay(row.image, boxes_only, ['red'] * 3), row.image)


def test_picture_shows_the_boxes_in_their_classes_colours(tmp_path: Path) -> None:
    path = save_predictions([make_row()] * 2, tmp_path / 'p.png', ['nucleus', 'other'], title='val')
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert('RGB'))
    assert pixels.shape[1] == 1155
    for label in (0, 1):
        colour = np.rint(255 * np.asarray(to_rgb(colour_of(label))))
        assert (np.abs(pixels - colour).max(axis=2) <= 2).sum() > 50


def test_images_without_objects_are_drawn(tmp_path: Path) -> None:
    image = make_row().image
    nothing = Objects(
        np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros((0, 60, 80), bool)
    )
    row = LabelledImage('empty', image, nothing, nothing)
    assert save_predictions([row], tmp_path / 'p.png', ['nucleus']).is_file()
    with pytest.raises(ValueError, match='at least one'):
        save_predictions([], tmp_path / 'p.png', ['nucleus'])
