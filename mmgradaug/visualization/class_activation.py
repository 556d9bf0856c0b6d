"""Class activation maps (Zhou et al. 2016): where a classifier sees a class, as in figure 1."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from torch import Tensor

from ..slimmable import at_width
from .canvas import new_figure, save_figure

RIGHT, WRONG = '#007a5a', '#b03a00'
_CELL = 1.15  # inches
_SHIFTS = (-8, 0, 8)  # pixels, down and right


def save_activation_maps(
    networks: Mapping[str, tuple[Any, float]], cfg: Config, path: Path | str, title: str = ''
) -> Path:
    """Draw maps of the right classes over the first validation image of each class.

    The predicted class and its probability stand above each map. Each map has its own scale of
    colours, from its smallest to its largest value: pictures show where a network looks, not how
    sure it is.

    Args:
        networks: By name, a classifier in evaluation mode and its width; one row each.
        cfg: Config with the validation data.
        path: The PNG file to write, which is returned.
        title: Of the whole picture.
    """
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    dataset: Any = DATASETS.build(cfg.val_dataloader.dataset)
    names = dataset.metainfo['classes']
    labels = [int(dataset.get_data_info(index)['gt_label']) for index in range(len(dataset))]
    pixels = torch.stack([dataset[labels.index(label)]['inputs'] for label in range(len(names))])
    images = pixels[:, 0].numpy()
    rows, columns = len(networks) + 1, len(names)
    figure = new_figure(_CELL * columns + 1.2, (_CELL + 0.2) * rows + 0.6, title)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[], frame_on=False)
    for axes, image, name in zip(grid[0], images, names, strict=True):
        axes.imshow(image, cmap='gray', vmin=0, vmax=255)
        axes.set_title(name, fontsize=10)
    for row, (model, width) in zip(grid[1:], networks.values(), strict=True):
        inputs = model.data_preprocessor({'inputs': pixels})['inputs']
        with torch.no_grad(), at_width(model, width):
            scores, predicted = model(inputs).softmax(dim=1).max(dim=1)
            maps = smooth_activation_maps(model, inputs, torch.arange(len(pixels)))
        for label, axes in enumerate(row):
            axes.imshow(maps[label].numpy(), cmap='inferno')
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


def class_activation_maps(model: Any, inputs: Tensor, classes: Tensor) -> Tensor:
    """Return how much each place of an image speaks for a class: maps (N, h, w).

    The map is the class's weights of the linear layer times the features of the place, plus its
    bias; so its mean is the class's logit. Inside :func:`~mmgradaug.at_width` it is a
    sub-network's.

    Args:
        model: A :class:`~mmgradaug.classification.Classifier`, in the mode that is wanted.
        inputs: Normalised images (N, C, H, W).
        classes: A class for each image (N,).
    """
    features = model.extract_feat(inputs)
    last = features if isinstance(features, Tensor) else features[-1]
    maps = torch.einsum('nchw,nc->nhw', last, model.fc.weight[classes])
    return maps + model.fc.bias[classes].view(-1, 1, 1)


def smooth_activation_maps(model: Any, inputs: Tensor, classes: Tensor) -> Tensor:
    """Return class activation maps in pixels (N, H, W), averaged over images rolled a little.

    Features of small images are a few cells only (2 x 2 of 64 x 64 pixels), which each shift puts
    elsewhere on the image. A map counts less towards its edges, so that none shows in the average.
    """
    size = inputs.shape[2:]
    weight = torch.outer(*(torch.bartlett_window(n + 2, periodic=False)[1:-1] for n in size))
    weight = weight.to(inputs)
    sums, weights = torch.zeros_like(inputs[:, 0]), torch.zeros_like(weight)
    for shift in product(_SHIFTS, repeat=2):
        maps = class_activation_maps(model, inputs.roll(shift, (-2, -1)), classes)
        maps = weight * F.interpolate(maps[:, None], size, mode='bilinear')[:, 0]
        back = [-pixels for pixels in shift]
        sums += maps.roll(back, (-2, -1))
        weights += weight.roll(back, (-2, -1))
    return sums / weights
