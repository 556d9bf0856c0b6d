"""Validation images with their labels beside a detector's predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .canvas import fix_layout, new_figure, save_figure, show_image
from .objects import Objects, draw_objects, write_names


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
    drawn = []
    for (plain, left, right), row in zip(grid, rows, strict=True):
        shown = row.predictions.above(score_threshold)
        show_image(plain, row.image)
        plain.set_title(row.name, fontsize=9)
        left.set_title(f'labels: {len(row.labels.boxes)}', fontsize=9)
        right.set_title(
            f'predictions with score >= {score_threshold:g}: {len(shown.boxes)}', fontsize=9
        )
        for axes, objects in ((left, row.labels), (right, shown)):
            draw_objects(axes, row.image, objects, class_names)
            drawn.append((axes, objects))
    figure.suptitle(title, fontsize=11)
    fix_layout(figure)
    for axes, objects in drawn:
        write_names(axes, objects, class_names)
    return save_figure(figure, path)
