"""Labels and predictions are drawn where they are."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from mmgradaug.visualization.canvas import colour_of
from mmgradaug.visualization.objects import Objects
from mmgradaug.visualization.predictions import LabelledImage, save_predictions


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
