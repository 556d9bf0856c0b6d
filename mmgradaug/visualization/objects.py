"""Objects drawn on an image: masks as tints, boxes as outlines, names where they hide little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from mmdet.structures.bbox import get_box_tensor
from mmengine.structures import InstanceData
from numpy.typing import NDArray

from .canvas import BACKGROUND_COLOUR, colour_of, draw_boxes, show_image

IGNORED = 'ignored'
_NAME_SIZE = 7.0  # points


@dataclass(frozen=True)
class Objects:
    """Labels or predictions of one image.

    Attributes:
        boxes: (N, 4) x1, y1, x2, y2 in pixels of the image.
        labels: (N,) class indices.
        masks: (N, H, W) bool, or None where there are none.
        scores: (N,) in [0, 1] for predictions, None for labels.
        ignored: (N,) bool, the regions that no loss and no metric looks at, crowds for instance;
            None where there are none.
    """

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    masks: NDArray[np.bool_] | None = None
    scores: NDArray[np.float32] | None = None
    ignored: NDArray[np.bool_] | None = None

    def above(self, threshold: float) -> Objects:
        """The predictions with at least this score; labels, which have none, stay as they are."""
        return self if self.scores is None else self.chosen(self.scores >= threshold)

    def chosen(self, keep: NDArray[np.bool_]) -> Objects:
        """Some of the objects, by (N,) bool."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return Objects(**{name: value[keep] for name, value in given.items()})

    def is_ignored(self) -> NDArray[np.bool_]:
        """(N,) bool."""
        return np.zeros(len(self.boxes), bool) if self.ignored is None else self.ignored


def objects_of(instances: InstanceData, size: tuple[int, int] | None = None) -> Objects:
    """Boxes, classes, masks and scores of mmdet's instances; masks and scores where there are some.

    Args:
        instances: Labels or predictions of one image.
        size: Height and width to which masks are padded, if not those of the masks.
    """
    masks = instances.get('masks')
    if masks is not None:
        bitmaps = masks.cpu().numpy() if isinstance(masks, torch.Tensor) else masks.to_ndarray()
        height, width = bitmaps.shape[1:] if size is None else size
        missing = (0, height - bitmaps.shape[1]), (0, width - bitmaps.shape[2])
        masks = np.pad(bitmaps.astype(bool), ((0, 0), *missing))
    scores = instances.get('scores')
    return Objects(
        boxes=get_box_tensor(instances.bboxes).cpu().numpy(),
        labels=instances.labels.cpu().numpy(),
        masks=masks,
        scores=None if scores is None else scores.cpu().numpy(),
    )


def with_ignored(objects: Objects, ignored: Objects) -> Objects:
    """Objects and, after them, ignored regions of the same image."""
    if not len(ignored.boxes):
        return objects
    pair = (objects, ignored)
    masks = [o.masks for o in pair if o.masks is not None]
    return Objects(
        np.concatenate([o.boxes for o in pair]),
        np.concatenate([o.labels for o in pair]),
        np.concatenate(masks) if len(masks) == len(pair) else None,
        ignored=np.arange(len(objects.boxes) + len(ignored.boxes)) >= len(objects.boxes),
    )


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
    """A colour an object: its class's; where there is one class, one that tells objects apart.

    Ignored regions are grey.
    """
    several = len(class_names) > 1
    pairs = zip(objects.labels, objects.is_ignored(), strict=True)
    return [
        BACKGROUND_COLOUR if ignored else colour_of(int(label) if several else number)
        for number, (label, ignored) in enumerate(pairs)
    ]


def names_of(objects: Objects, class_names: Sequence[str]) -> list[str]:
    """What to write at each object: its class where there are several, and its score."""
    names = []
    for index, ignored in enumerate(objects.is_ignored()):
        words = [class_names[int(objects.labels[index])]] if len(class_names) > 1 else []
        if objects.scores is not None:
            words.append(f'{objects.scores[index]:.2f}')
        names.append(' '.join([IGNORED, *words] if ignored else words))
    return names


def draw_objects(
    axes: Axes, image: NDArray[np.uint8], objects: Objects, class_names: Sequence[str]
) -> None:
    """Show an image with masks and boxes; boxes of ignored regions are dashed.

    Names come later, by :func:`write_names`, when the panels have their places.
    """
    colours = colours_of(objects, class_names)
    show_image(axes, overlay(image, objects, colours))
    for ignored, style in ((True, '--'), (False, '-')):
        chosen = objects.is_ignored() == ignored
        own = [colour for colour, take in zip(colours, chosen, strict=True) if take]
        draw_boxes(axes, objects.boxes[chosen], own, style=style)


def write_names(axes: Axes, objects: Objects, class_names: Sequence[str]) -> None:
    """Write names of objects at their boxes, where they hide little.

    A name stands over, under or in a corner of its box, wherever it covers least of any box; no
    name covers another one, and where there is no such place it is left out. Small objects choose
    first, for they have the least room.

    Args:
        axes: What :func:`draw_objects` drew on, in its final place: afterwards the figure must
            not be laid out again.
        objects: The objects.
        class_names: Names of the classes, by index.
    """
    corners = axes.transData.transform(objects.boxes.reshape(-1, 2)).reshape(-1, 4)
    boxes = np.concatenate(
        [np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])], 1
    )
    frame = np.array(axes.get_window_extent().extents)
    colours, names = colours_of(objects, class_names), names_of(objects, class_names)
    taken: NDArray = np.zeros((0, 4))
    for index in np.argsort(_areas(boxes)):
        if not names[index]:
            continue
        size = _size_of(axes, names[index])
        place = _free_place(boxes[index], size, boxes, taken, frame)
        if place is not None:
            taken = np.concatenate([taken, [[*place, place[0] + size[0], place[1] + size[1]]]])
            _write(axes, names[index], place, colours[index])


def _size_of(axes: Axes, name: str) -> tuple[float, float]:
    """Width and height of a name in pixels of the picture, with its ground."""
    canvas = axes.figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    text = axes.text(0, 0, name, fontsize=_NAME_SIZE)
    extent = text.get_window_extent(canvas.get_renderer())
    text.remove()
    return extent.width + 3, extent.height + 3


def _free_place(
    box: NDArray, size: tuple[float, float], boxes: NDArray, taken: NDArray, frame: NDArray
) -> tuple[float, float] | None:
    """Lower left corner of the place for a name; boxes are x, y from the left and the bottom."""
    width, height = size
    xs = (box[0], box[2] - width)
    ys = (box[3], box[1] - height, box[3] - height, box[1])
    best, least = None, np.inf
    for x, y in ((x, y) for y in ys for x in xs):
        place = np.array([[x, y, x + width, y + height]])
        inside = (
            x >= frame[0] and y >= frame[1] and x + width <= frame[2] and y + height <= frame[3]
        )
        if not inside or _overlaps(place, taken).any():
            continue
        hidden = float((_overlaps(place, boxes) / _areas(boxes).clip(1)).sum())
        if hidden < least:
            best, least = (float(x), float(y)), hidden
    return best


def _areas(boxes: NDArray) -> NDArray:
    """(N,) areas of boxes."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _overlaps(box: NDArray, boxes: NDArray) -> NDArray:
    """(N,) areas that boxes share with one box (1, 4)."""
    sides = np.minimum(box[:, 2:], boxes[:, 2:]) - np.maximum(box[:, :2], boxes[:, :2])
    return sides.clip(0).prod(axis=1)


def _write(axes: Axes, name: str, place: tuple[float, float], colour: str) -> None:
    """Write at a place in pixels of the picture."""
    ground = {'facecolor': 'black', 'alpha': 0.65, 'linewidth': 0, 'pad': 1.0}
    axes.text(
        place[0] + 1.5,
        place[1] + 1.5,
        name,
        color=colour,
        fontsize=_NAME_SIZE,
        va='bottom',
        bbox=ground,
        transform=None,
    )
