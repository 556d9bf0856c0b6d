"""What the full network and every sub-network saw in one iteration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from .canvas import colour_of, draw_boxes, fix_layout, new_figure, save_figure, show_image
from .objects import Objects, draw_objects, write_names

_MOST_WIDTH = 14.0  # inches


@dataclass(frozen=True)
class SubnetView:
    """One pass over one image of a batch.

    Attributes:
        image: (C, H, W) as the network got it: normalised, of three channels RGB unless
            ``save_subnets`` is told otherwise.
        boxes: (N, 4) x1, y1, x2, y2 in pixels of ``image``: RoIs or labels, mapped by the
            transform; None for classifiers, whose images have none.
        labels: (N,) class indices that choose the boxes' colours, negative for background; None
            gives all boxes one colour.
        width: Width of the sub-network, 1.0 for the full network.
        depth: Share of its residual blocks that the sub-network has, where that is drawn.
        scale: (x, y) ratio of the image's size to the full pass's.
        title: Name of the pass, such as ``full network`` or ``sub-network 1``.
        boxes_are: What the boxes are called in the caption.
        objects: Labels to draw with names and masks, in place of ``boxes``.
    """

    image: Tensor
    boxes: Tensor | None = None
    labels: Tensor | None = None
    width: float = 1.0
    depth: float | None = None
    scale: tuple[float, float] = (1.0, 1.0)
    title: str = ''
    boxes_are: str = 'boxes'
    objects: Objects | None = None


def save_subnets(
    views: Sequence[SubnetView],
    path: Path | str,
    mean: Sequence[float] | Tensor,
    std: Sequence[float] | Tensor,
    title: str = '',
    same_scale: bool = True,
    bgr: bool = False,
    class_names: Sequence[str] = (),
    panel_width: float = 3.4,
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
        class_names: Names of the classes, by index, where views have ``objects``.
        panel_width: Of each pass, in inches of 110 pixels.

    Returns:
        The file's path.

    Raises:
        ValueError: There is no view, or a view's arrays are not of the documented shapes.
    """
    if not views:
        raise ValueError('no passes to draw: expected at least one SubnetView')
    for view in views:
        _check(view)
    largest = _largest_size(views)
    figure, panels = _panels(len(views), panel_width, largest[1] / largest[0])
    for axes, view in zip(panels, views, strict=False):
        pixels = denormalize(view.image, mean, std)
        pixels = pixels[..., ::-1] if bgr else pixels
        if view.objects is None:
            _draw_boxes(axes, view, pixels)
        else:
            draw_objects(axes, pixels, view.objects, class_names)
        axes.set_title(caption(view), fontsize=8.5)
        if same_scale:
            axes.set(xlim=(0, largest[0]), ylim=(largest[1], 0), facecolor='#ececec')
    figure.suptitle(title, fontsize=11)
    figure.supxlabel(_footer(views, class_names), fontsize=8)
    fix_layout(figure)
    for axes, view in zip(panels, views, strict=False):
        if view.objects is not None:
            write_names(axes, view.objects, class_names)
    return save_figure(figure, path)


def _panels(number: int, width: float, aspect: float) -> tuple[Figure, list[Axes]]:
    """A figure with a panel each, in as few rows as fit and these filled evenly."""
    rows = math.ceil(number / max(1, int(_MOST_WIDTH / width)))
    columns = math.ceil(number / rows)
    height = (width - 0.5) * aspect + 0.8  # beside and over an image: ticks and two lines
    figure = new_figure(width * columns, height * rows + 0.4)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels[number:]:
        axes.set_axis_off()
    return figure, panels[:number]


def _footer(views: Sequence[SubnetView], class_names: Sequence[str]) -> str:
    """What the colours mean."""
    if any(view.labels is not None and bool((view.labels < 0).any()) for view in views):
        return 'coloured: on an object (IoU of one half or more); grey: background'
    objects = [view.objects for view in views if view.objects is not None]
    what = [f'class: {class_names[0]}'] if objects and len(class_names) == 1 else []
    if any(o.is_ignored().any() for o in objects):
        what.append('dashed and grey: ignored, as crowds are')
    return '; '.join(what)


def denormalize(
    image: Tensor, mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor
) -> NDArray[np.uint8]:
    """(C, H, W) normalised to (H, W, 3) uint8, clipped to [0, 255].

    One channel is shown as grey, of more than three the first three; where there are two, the
    third is black.
    """
    image = image.detach().float().cpu()
    shift, factor = (
        torch.as_tensor(v, dtype=torch.float32).cpu().view(-1, 1, 1) for v in (mean, std)
    )
    pixels = (image * factor + shift).round().clamp(0, 255).to(torch.uint8)
    shown = pixels.expand(3, -1, -1) if len(pixels) == 1 else pixels[:3]
    black = shown.new_zeros(3 - len(shown), *shown.shape[1:])
    return np.asarray(torch.cat([shown, black]).permute(1, 2, 0).numpy())


def caption(view: SubnetView) -> str:
    """Two lines over a panel: the pass, its width, depth and scale; the image's size and boxes."""
    height, width = view.image.shape[-2:]
    x, y = view.scale
    scale = f'{x:.3g}' if math.isclose(x, y, rel_tol=5e-3) else f'{x:.3g} x {y:.3g}'
    name = f'{view.title}: ' if view.title else ''
    depth = '' if view.depth is None else f', depth {view.depth:.3g}'
    boxes = '' if view.boxes is None else f', {len(view.boxes)} {view.boxes_are}'
    ignored = 0 if view.objects is None else int(view.objects.is_ignored().sum())
    return (
        f'{name}width {view.width:.3g}{depth}, scale {scale}\n'
        f'{width} x {height} px{boxes}'
        f'{f", {ignored} ignored" if ignored else ""}'
    )


def _draw_boxes(axes: Axes, view: SubnetView, pixels: NDArray[np.uint8]) -> None:
    """The image and its boxes, objects over background."""
    show_image(axes, pixels)
    if view.boxes is None:
        return
    boxes = view.boxes.detach().float().cpu().numpy()
    labels = np.zeros(len(boxes), dtype=int) if view.labels is None else view.labels.cpu().numpy()
    for chosen, width in ((labels < 0, 0.6), (labels >= 0, 1.3)):
        colours = [colour_of(int(label)) for label in labels[chosen]]
        draw_boxes(axes, boxes[chosen], colours, width)


def _largest_size(views: Sequence[SubnetView]) -> tuple[int, int]:
    """Largest width and largest height among the images."""
    return max(v.image.shape[2] for v in views), max(v.image.shape[1] for v in views)


def _check(view: SubnetView) -> None:
    """Refuse arrays of other shapes than documented, which would draw nonsense."""
    if view.image.dim() != 3:
        raise ValueError(
            f'{view.title or "view"}: image of shape {tuple(view.image.shape)}, expected (C, H, W)'
            ': pass one image of the batch'
        )
    if view.boxes is None:
        return
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
