"""Pictures of class activation maps: images in columns, networks in rows, as in figure 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from .canvas import new_figure, save_figure

RIGHT, WRONG = '#007a5a', '#b03a00'
COLOUR_MAP = 'inferno'
CELL = 1.15  # inches


@dataclass(frozen=True)
class NetworkMaps:
    """What a network sees in each image.

    Attributes:
        name: Of the network.
        maps: How much each pixel speaks for the image's own class (N, H, W).
        predicted: The class that it predicts (N,).
        scores: Its probability (N,).
    """

    name: str
    maps: NDArray[np.floating]
    predicted: Sequence[int]
    scores: Sequence[float]


def save_activation_maps(
    images: NDArray[np.uint8],
    labels: Sequence[int],
    networks: Sequence[NetworkMaps],
    path: Path | str,
    names: Sequence[str],
    title: str = '',
) -> Path:
    """Draw maps over their images, with the predicted class above each.

    Each map has its own scale of colours, from its smallest to its largest value: pictures show
    where a network looks, not how sure it is, which the number says.

    Args:
        images: (N, H, W) grey values.
        labels: Class of each image.
        networks: One row each.
        path: The PNG file to write.
        names: Names of the classes.
        title: Title of the whole picture.

    Returns:
        The file's path.
    """
    rows, columns = len(networks) + 1, len(images)
    figure = new_figure(CELL * columns + 1.2, (CELL + 0.2) * rows + 0.6)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_visible(False)
    for column, image in enumerate(images):
        grid[0, column].imshow(image, cmap='gray', vmin=0, vmax=255)
        grid[0, column].set_title(names[labels[column]], fontsize=10)
        for row, network in enumerate(networks, start=1):
            _draw_map(grid[row, column], image, network, column, labels[column], names)
    for row, name in enumerate(['image', *(network.name for network in networks)]):
        grid[row, 0].set_ylabel(name, fontsize=9, rotation=0, ha='right', va='center')
    figure.suptitle(title, fontsize=11)
    return save_figure(figure, path)


def _draw_map(
    axes: Axes,
    image: NDArray[np.uint8],
    network: NetworkMaps,
    index: int,
    label: int,
    names: Sequence[str],
) -> None:
    """One map under the strokes of its image."""
    axes.imshow(network.maps[index], cmap=COLOUR_MAP)
    # The image's own brightness as opacity, so that the map shows around and through the strokes.
    ink = np.zeros((*image.shape, 4))
    ink[..., :3] = 1.0
    ink[..., 3] = 0.75 * image / 255
    axes.imshow(ink)
    found = network.predicted[index]
    colour = RIGHT if found == label else WRONG
    axes.set_title(f'{names[found]}  {network.scores[index]:.0%}', fontsize=8, color=colour)
