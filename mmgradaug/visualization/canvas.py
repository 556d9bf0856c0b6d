"""What the pictures share: figures without global state, boxes, colours, saving."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from ..engine.atomic import write_atomically

DPI = 110

# Okabe and Ito's colours, told apart by colour-blind readers; black and yellow left out, which
# vanish on dark and on bright images.
COLOURS = ('#56b4e9', '#e69f00', '#009e73', '#cc79a7', '#d55e00', '#0072b2')
BACKGROUND_COLOUR = '#b0b0b0'


def new_figure(width: float, height: float) -> Figure:
    """A figure with its own Agg canvas; sizes in inches."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout='constrained')
    FigureCanvasAgg(figure)
    return figure


def colour_of(label: int) -> str:
    """The colour of a class; grey for the background, which has a negative label."""
    return COLOURS[label % len(COLOURS)] if label >= 0 else BACKGROUND_COLOUR


def show_image(axes: Axes, image: ArrayLike) -> None:
    """Show an (H, W, 3) image with axes in pixels, pixel i covering [i, i + 1) as in COCO."""
    pixels = np.asarray(image)
    height, width = pixels.shape[:2]
    axes.imshow(pixels, extent=(0, width, height, 0), interpolation='nearest')
    axes.set_xlabel('x / px')
    axes.set_ylabel('y / px')
    axes.tick_params(labelsize=7)


def draw_boxes(
    axes: Axes, boxes: ArrayLike, colours: Iterable[str], width: float = 1.2, style: str = '-'
) -> None:
    """Outline (N, 4) boxes x1, y1, x2, y2 in pixels, one colour each."""
    for (x1, y1, x2, y2), colour in zip(np.asarray(boxes), colours, strict=True):
        box = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour)
        box.set(linewidth=width, linestyle=style)
        # Axis-parallel lines need no smoothing, and keep their full colour without it.
        box.set_antialiased(False)
        axes.add_patch(box)


def fix_layout(figure: Figure) -> None:
    """Give all panels their final places, so that one can count in the picture's pixels."""
    figure.draw_without_rendering()
    figure.set_layout_engine('none')


def save_figure(figure: Figure, path: Path | str) -> Path:
    """Write a figure as PNG, whole or not at all; makes the folder and returns the path."""
    content = BytesIO()
    figure.savefig(content, format='png')
    write_atomically(content.getvalue(), path)
    return Path(path)
