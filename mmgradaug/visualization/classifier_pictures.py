"""What classifiers see in validation images: their maps of the right classes, and predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from torch import Tensor

from ..slimmable import at_width
from .activation_maps import NetworkMaps, save_activation_maps
from .class_activation import smooth_activation_maps


def picture_activation_maps(
    networks: Mapping[str, tuple[Any, float]], cfg: Config, path: Path | str, title: str = ''
) -> Path:
    """Draw class activation maps of the first validation image of each class.

    Args:
        networks: By name, a classifier in evaluation mode and the width that it runs at; one row
            each.
        cfg: Config with the validation data.
        path: The PNG file to write.
        title: Title of the whole picture.

    Returns:
        The file's path.
    """
    pixels, labels, names = first_of_each_class(cfg)
    rows = [
        maps_of(name, model, pixels, labels, width) for name, (model, width) in networks.items()
    ]
    return save_activation_maps(pixels[:, 0].numpy(), labels.tolist(), rows, path, names, title)


def first_of_each_class(cfg: Config) -> tuple[Tensor, Tensor, Sequence[str]]:
    """The first validation image of each class: bytes (N, C, H, W), labels (N,), and names."""
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    dataset: Any = DATASETS.build(cfg.val_dataloader.dataset)
    labels = [int(dataset.get_data_info(index)['gt_label']) for index in range(len(dataset))]
    firsts = [labels.index(label) for label in range(len(dataset.classes))]
    images = torch.stack([dataset[index]['inputs'] for index in firsts])
    return images, torch.arange(len(firsts)), dataset.classes


def maps_of(
    name: str, model: Any, pixels: Tensor, labels: Tensor, width: float = 1.0
) -> NetworkMaps:
    """Maps of the right classes, and predictions, of a network or its sub-network of a width.

    Args:
        name: Of the network.
        model: A classifier, in evaluation mode.
        pixels: Images (N, C, H, W), as its data preprocessor takes them.
        labels: Their classes (N,).
        width: Share of the channels.
    """
    inputs = model.data_preprocessor({'inputs': pixels})['inputs']
    with torch.no_grad(), at_width(model, width):
        scores, predicted = model(inputs).softmax(dim=1).max(dim=1)
        maps = smooth_activation_maps(model, inputs, labels)
    return NetworkMaps(name, maps.numpy(), predicted.tolist(), scores.tolist())
