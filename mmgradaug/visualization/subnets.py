"""What the full network and every sub-network saw in one iteration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from torch import Tensor

from .canvas import (
    colour_of,
    draw_boxes,
    new_figure,
    save_figure,
    show_image,
)

_MOST_COLUMNS = 4


@dataclass(frozen=True)
class SubnetView:
    """One pass over one image of a batch.

    Attributes:
        image: (3, H, W) as the network got it: normalised, RGB unless ``save_subnets`` is told
            otherwise.
        boxes: (N, 4) x1, y1, x2, y2 in pixels of ``image``: RoIs or labels, mapped by the
            transform.
        labels: (N,) class indices that choose the boxes' colours, negative for background; None
            gives all boxes one colour.
        width: Width of the sub-network, 1.0 for the full network.
        scale: (x, y) ratio of the image's size to the full pass's.
        title: Name of the pass, such as ``full network`` or ``sub-network 1``.
        boxes_are: What the boxes are called in the caption.
    """

    image: Tensor
    boxes: Tensor
    labels: Tensor | None = None
    width: float = 1.0
    scale: tuple[float, float] = (1.0, 1.0)
    title: str = ''
    boxes_are: str = 'boxes'


def save_subnets(
    views: Sequence[SubnetView],
    path: Path | str,
    mean: Sequence[float] | Tensor,
    std: Sequence[float] | Tensor,
    title: str = '',
    same_scale: bool = True,
    bgr: bool = False,
) -> Path:
    """Draw the passes of one iteration side by side.

    Args:
        views: The passes in their order; at least one.
        path: The PNG file to write.
        mean: Mean of each channel that the model's preprocessor subtracted.
        std: Deviation of each channel that it divided by.
        title: Title of the whole picture.
        same_scale: Give all passes axes of the same size in pixels, so that a smaller image looks
            smaller.
        bgr: The model's channels are blue, green, red (its preprocessor has no ``bgr_to_rgb``).

    Returns:
        The file's path.

    Raises:
        ValueError: There is no view, or a view's arrays are not of the documented shapes.
    """
    if not views:
        raise ValueError('no passes to draw: expected at least one SubnetView')
    for view in views:
        _check(view)
    columns = min(len(views), _MOST_COLUMNS)
    rows = math.ceil(len(views) / columns)
    figure = new_figure(3.4 * columns, 3.7 * rows + 0.4)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    largest = _largest_size(views) if same_scale else None
    for axes, view in zip(panels, views, strict=False):
        pixels = denormalize(view.image, mean, std)
        _draw_view(axes, view, pixels[..., ::-1] if bgr else pixels, largest)
    for axes in panels[len(views) :]:
        axes.set_axis_off()
    figure.suptitle(title, fontsize=11)
    if any(view.labels is not None and bool((view.labels < 0).any()) for view in views):
        figure.supxlabel(
            'coloured: on an object (IoU of one half or more); grey: background', fontsize=8
        )
    return save_figure(figure, path)


def denormalize(
    image: Tensor, mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor
) -> NDArray[np.uint8]:
    """(3, H, W) normalised to (H, W, 3) uint8, clipped to [0, 255]."""
    image = image.detach().float().cpu()
    shift, factor = (
        torch.as_tensor(v, dtype=torch.float32).cpu().view(-1, 1, 1) for v in (mean, std)
    )
    pixels = (image * factor + shift).round().clamp(0, 255).to(torch.uint8)
    return np.asarray(pixels.permute(1, 2, 0).numpy())


def caption(view: SubnetView) -> str:
    """Two lines over a panel: the pass, its width and scale; the image's size and its boxes."""
    height, width = view.image.shape[-2:]
    x, y = view.scale
    scale = f'{x:.3g}' if math.isclose(x, y, rel_tol=5e-3) else f'{x:.3g} x {y:.3g}'
    name = f'{view.title}: ' if view.title else ''
    return (
        f'{name}width {view.width:.3g}, scale {scale}\n'
        f'{width} x {height} px, {len(view.boxes)} {view.boxes_are}'
    )


def _draw_view(
    axes: Axes, view: SubnetView, pixels: NDArray[np.uint8], largest: tuple[int, int] | None
) -> None:
    """One panel: the image, its boxes (objects over background), the caption."""
    show_image(axes, pixels)
    boxes = view.boxes.detach().float().cpu().numpy()
    labels = np.zeros(len(boxes), dtype=int) if view.labels is None else view.labels.cpu().numpy()
    for chosen, width in ((labels < 0, 0.6), (labels >= 0, 1.3)):
        colours = [colour_of(int(label)) for label in labels[chosen]]
        draw_boxes(axes, boxes[chosen], colours, width)
    axes.set_title(caption(view), fontsize=8.5)
    if largest is not None:
        axes.set_xlim(0, largest[0])
        axes.set_ylim(largest[1], 0)
        axes.set_facecolor('#ececec')


def _largest_size(views: Sequence[SubnetView]) -> tuple[int, int]:
    """Largest width and largest height among the images."""
    return max(v.image.shape[2] for v in views), max(v.image.shape[1] for v in views)


def _check(view: SubnetView) -> None:
    """Refuse arrays of other shapes than documented, which would draw nonsense."""
    if view.image.dim() != 3 or view.image.shape[0] != 3:
        raise ValueError(
            f'{view.title or "view"}: image of shape {tuple(view.image.shape)}, expected (3, H, W)'
            ': pass one image of the batch'
        )
    if view.boxes.dim() != 2 or view.boxes.shape[1] != 4:
        raise ValueError(
            f'{view.title or "view"}: boxes of shape {tuple(view.boxes.shape)}, expected (N, 4): '
            'leave out the batch index of RoIs'
        )
    if view.labels is not None and len(view.labels) != len(view.boxes):
        raise ValueError(
            f'{view.title or "view"}: {len(view.labels)} labels for {len(view.boxes)} boxes, '
            'expected one each'
        )
