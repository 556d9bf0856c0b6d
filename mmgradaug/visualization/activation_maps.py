"""Pictures of class activation maps: images in columns, networks in rows, as in figure 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from numpy.typing import NDArray
from torch import Tensor

from ..slimmable import at_width
from .canvas import new_figure, save_figure
from .class_activation import smooth_activation_maps

RIGHT, WRONG = '#007a5a', '#b03a00'
_CELL = 1.15  # inches


def save_activation_maps(
    networks: Mapping[str, tuple[Any, float]], cfg: Config, path: Path | str, title: str = ''
) -> Path:
    """Draw maps of the right classes over the first validation image of each class.

    The predicted class and its probability stand above each map. Each map has its own scale of
    colours, from its smallest to its largest value: pictures show where a network looks, not how
    sure it is.

    Args:
        networks: By name, a classifier in evaluation mode and the width that it runs at; one row
            each.
        cfg: Config with the validation data.
        path: The PNG file to write.
        title: Title of the whole picture.

    Returns:
        The path.
    """
    pixels, names = first_of_each_class(cfg)
    rows, columns = len(networks) + 1, len(names)
    figure = new_figure(_CELL * columns + 1.2, (_CELL + 0.2) * rows + 0.6, title)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[], frame_on=False)
    images = pixels[:, 0].numpy()
    for axes, image, name in zip(grid[0], images, names, strict=True):
        axes.imshow(image, cmap='gray', vmin=0, vmax=255)
        axes.set_title(name, fontsize=10)
    for row, (model, width) in zip(grid[1:], networks.values(), strict=True):
        maps, predicted, scores = maps_of(model, pixels, width)
        for label, axes in enumerate(row):
            axes.imshow(maps[label], cmap='inferno')
            # The image's own brightness as opacity, so that the map shows around the strokes.
            ink = np.ones((*images[label].shape, 4))
            ink[..., 3] = 0.75 * images[label] / 255
            axes.imshow(ink)
            found = int(predicted[label])
            colour = RIGHT if found == label else WRONG
            axes.set_title(f'{names[found]}  {scores[label]:.0%}', fontsize=8, color=colour)
    for axes, name in zip(grid[:, 0], ['image', *networks], strict=True):
        axes.set_ylabel(name, fontsize=9, rotation=0, ha='right', va='center')
    return save_figure(figure, path)


def first_of_each_class(cfg: Config) -> tuple[Tensor, Sequence[str]]:
    """Return the first validation image of each class, bytes (K, C, H, W), and all names."""
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    dataset: Any = DATASETS.build(cfg.val_dataloader.dataset)
    labels = [int(dataset.get_data_info(index)['gt_label']) for index in range(len(dataset))]
    firsts = [labels.index(label) for label in range(len(dataset.classes))]
    return torch.stack([dataset[index]['inputs'] for index in firsts]), dataset.classes


def maps_of(model: Any, pixels: Tensor, width: float = 1.0) -> tuple[NDArray, NDArray, NDArray]:
    """Return maps of the right classes and predictions of a network or its sub-network.

    Args:
        model: A classifier, in evaluation mode.
        pixels: An image of each class (K, C, H, W), as its data preprocessor takes them.
        width: Share of the channels.

    Returns:
        Maps (K, H, W), predicted classes (K,) and their probabilities (K,).
    """
    inputs = model.data_preprocessor({'inputs': pixels})['inputs']
    with torch.no_grad(), at_width(model, width):
        scores, predicted = model(inputs).softmax(dim=1).max(dim=1)
        maps = smooth_activation_maps(model, inputs, torch.arange(len(pixels)))
    return maps.numpy(), predicted.numpy(), scores.numpy()
