"""Class activation maps (Zhou et al. 2016): where a classifier sees a class, as in figure 1."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DATASETS, init_default_scope
from torch import Tensor

from ..slimmable import at_width
from .canvas import new_figure, save_figure

RIGHT, WRONG = '#007a5a', '#b03a00'
_CELL = 1.15  # inches
_SHIFTS = (-8, 0, 8)  # pixels, down and right


def save_activation_maps(
    networks: Mapping[str, tuple[Any, float]],
    cfg: Config,
    path: Path | str,
    title: str = '',
    files: Sequence[Path] = (),
) -> Path:
    """Draw class activation maps of several networks over the same images.

    The predicted class and its probability stand above each map. Each map has its own scale of
    colours, from its smallest to its largest value: pictures show where a network looks, not how
    sure it is.

    Args:
        networks: By name, a classifier in evaluation mode and its width; one row each.
        cfg: Config with the validation data.
        path: The PNG file to write, which is returned.
        title: Of the whole picture.
        files: Images; maps are of the classes that each network predicts, named by the first one's
            ``dataset_meta``, or numbers. By default the first validation image of ten classes.
    """
    init_default_scope(cfg.get('default_scope') or 'mmdet')
    if files:
        loading = [dict(type='LoadImageFromFile'), dict(type='ToImageTensor')]
        data = (cfg.get('val_dataloader') or cfg.test_dataloader).dataset
        load = Compose([*loading, *data.pipeline])
        samples = [load({'img_path': str(file), 'gt_label': -1}) for file in files]
        model = next(iter(networks.values()))[0]
        names = model.dataset_meta.get('classes', range(model.num_classes))
    else:
        dataset: Any = DATASETS.build(cfg.val_dataloader.dataset)
        names = dataset.metainfo['classes']
        labels = [int(dataset.get_data_info(index)['gt_label']) for index in range(len(dataset))]
        samples = [dataset[labels.index(label)] for label in sorted(set(labels))[:10]]
    rows, columns = len(networks) + 1, len(samples)
    cell = max(_CELL, min(2 * _CELL, 8 / columns))
    figure = new_figure(cell * columns + 1.2, (cell + 0.2) * rows + 0.6, title)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, name in zip(grid[:, 0], ['image', *networks], strict=True):
        axes.set_ylabel(name, fontsize=9, rotation=0, ha='right', va='center')
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[], frame_on=False)
    for (top, *below), sample in zip(grid.T, samples, strict=True):
        image, label = sample['inputs'], sample['data_samples']
        top.imshow(image.permute(1, 2, 0).numpy())
        top.set_title('' if files else names[label], fontsize=10)
        for axes, (model, width) in zip(below, networks.values(), strict=True):
            inputs = model.data_preprocessor({'inputs': image[None]})['inputs']
            with torch.no_grad(), at_width(model, width):
                score, found = model(inputs).softmax(dim=1).max(dim=1)
                heat = smooth_activation_maps(model, inputs, found if files else label + 0 * found)
            axes.imshow(image.float().mean(dim=0).numpy(), cmap='gray', vmin=0, vmax=255)
            axes.imshow(heat[0].cpu().numpy(), cmap='inferno', alpha=0.6)
            colour = 'black' if files else RIGHT if int(found) == label else WRONG
            axes.set_title(f'{names[int(found)]}  {float(score):.0%}', fontsize=8, color=colour)
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
