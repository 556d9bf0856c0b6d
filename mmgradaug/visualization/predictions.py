"""Validation images with their labels beside a detector's predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from .canvas import (
    colour_of,
    draw_boxes,
    new_figure,
    save_figure,
    show_image,
)


@dataclass(frozen=True)
class Objects:
    """Labels or predictions of one image.

    Attributes:
        boxes: (N, 4) x1, y1, x2, y2 in pixels of the image.
        labels: (N,) class indices.
        masks: (N, H, W) bool, or None where there are none.
        scores: (N,) in [0, 1] for predictions, None for labels.
    """

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    masks: NDArray[np.bool_] | None = None
    scores: NDArray[np.float32] | None = None

    def above(self, threshold: float) -> Objects:
        """The predictions with at least this score; labels, which have none, stay as they are."""
        if self.scores is None:
            return self
        keep = self.scores >= threshold
        masks = None if self.masks is None else self.masks[keep]
        return Objects(self.boxes[keep], self.labels[keep], masks, self.scores[keep])


@dataclass(frozen=True)
class LabelledImage:
    """One row of the picture: (H, W, 3) uint8 RGB image, its labels, a detector's predictions."""

    name: str
    image: NDArray[np.uint8]
    labels: Objects
    predictions: Objects


def save_predictions(
    rows: Sequence[LabelledImage],
    path: Path | str,
    class_names: Sequence[str],
    score_threshold: float = 0.5,
    title: str = '',
) -> Path:
    """Draw image, labels and predictions side by side, one row an image.

    Args:
        rows: The images; at least one.
        path: The PNG file to write.
        class_names: Names of the classes, by index.
        score_threshold: Predictions below this score are left out.
        title: Title of the whole picture.

    Returns:
        The file's path.

    Raises:
        ValueError: There is no image.
    """
    if not rows:
        raise ValueError('no images to draw: expected at least one LabelledImage')
    figure = new_figure(10.5, 3.45 * len(rows) + 0.5)
    grid = figure.subplots(len(rows), 3, squeeze=False)
    for (plain, left, right), row in zip(grid, rows, strict=True):
        shown = row.predictions.above(score_threshold)
        show_image(plain, row.image)
        plain.set_title(row.name, fontsize=9)
        _draw_objects(left, row.image, row.labels, class_names)
        left.set_title(f'labels: {len(row.labels.boxes)}', fontsize=9)
        _draw_objects(right, row.image, shown, class_names)
        right.set_title(
            f'predictions with score >= {score_threshold:g}: {len(shown.boxes)}', fontsize=9
        )
    figure.suptitle(title, fontsize=11)
    return save_figure(figure, path)


def overlay(
    image: NDArray[np.uint8], objects: Objects, colours: Sequence[str], strength: float = 0.45
) -> NDArray[np.uint8]:
    """Tint the pixels of each mask with its colour; returns a new (H, W, 3) image."""
    tinted = image.astype(np.float64)
    if objects.masks is not None:
        for mask, colour in zip(objects.masks, colours, strict=True):
            tinted[mask] = (1 - strength) * tinted[mask] + strength * 255 * np.asarray(
                to_rgb(colour)
            )
    return np.rint(tinted).astype(np.uint8)


def colours_of(objects: Objects, class_names: Sequence[str]) -> list[str]:
    """A colour an object: its class's; where there is one class, one that tells objects apart."""
    several = len(class_names) > 1
    return [colour_of(int(label) if several else n) for n, label in enumerate(objects.labels)]


def _draw_objects(
    axes: Axes, image: NDArray[np.uint8], objects: Objects, class_names: Sequence[str]
) -> None:
    """Masks as tints, boxes as outlines, scores as text; class names where there are several."""
    colours = colours_of(objects, class_names)
    show_image(axes, overlay(image, objects, colours))
    draw_boxes(axes, objects.boxes, colours)
    for index, (box, colour) in enumerate(zip(objects.boxes, colours, strict=True)):
        words = [class_names[int(objects.labels[index])]] if len(class_names) > 1 else []
        if objects.scores is not None:
            words.append(f'{objects.scores[index]:.2f}')
        if words:
            _write(axes, ' '.join(words), box, colour, image.shape[0])


def _write(axes: Axes, text: str, box: NDArray[np.float32], colour: str, height: int) -> None:
    """Write over a box's upper left corner, inside the frame also for a box on its border."""
    y = max(float(box[1]), 0.05 * height)
    ground = {'facecolor': 'black', 'alpha': 0.6, 'linewidth': 0, 'pad': 0.6}
    label = axes.text(box[0], y, text, color=colour, fontsize=6.5, va='bottom', bbox=ground)
    label.set_clip_on(True)
