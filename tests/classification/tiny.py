"""Tiny classifiers, batches and folders of images."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from PIL import Image

import mmgradaug  # noqa: F401  registers the classifiers
from tests.networks import ROOT

HALF = dict(type='RandomScale', scales=[1.0, 0.75, 0.5], align_corners=True)
LOAD = [dict(type='LoadImageFromFile'), dict(type='ToImageTensor'), dict(type='PackImage')]
BACKBONE = dict(type='SlimmableResNet', depth=18, base_channels=8, out_indices=(3,))


def config(kind: str = 'GradAugClassifier', **options: Any) -> dict[str, Any]:
    """Config of a classifier of 3 classes; ``gradaug`` is merged into defaults."""
    gradaug = dict(num_subnets=2, min_width=0.5, transform=HALF, seed=0)
    gradaug |= options.pop('gradaug', {})
    model = dict(type=kind, backbone=BACKBONE, num_classes=3) | options
    return model | (dict(gradaug=gradaug) if kind == 'GradAugClassifier' else {})


def build(kind: str = 'GradAugClassifier', **options: Any) -> Any:
    """A classifier in training mode, its weights from seed 0."""
    torch.manual_seed(0)
    model = MODELS.build(config(kind, **options))
    model.init_weights()
    return model.train()


def batch(images: int = 4, size: int = 32, seed: int = 1) -> dict[str, torch.Tensor]:
    """Images of bytes and labels, as a loader gives them."""
    generator = torch.Generator().manual_seed(seed)
    shape = (images, 3, size, size)
    pixels = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    return {'inputs': pixels, 'data_samples': torch.arange(images) % 3}


def make_folders(root: Path, per_class: int = 4, size: int = 32, classes: str = 'abc') -> Path:
    """Images whose brightness is their class, in ``root/train`` and ``root/val``."""
    generator = np.random.default_rng(0)
    for split, count in (('train', per_class), ('val', 2)):
        for label, name in enumerate(classes):
            folder = root / split / name
            folder.mkdir(parents=True, exist_ok=True)
            for index in range(count):
                noise = generator.integers(0, 60, (size, size, 3))
                pixels = (noise + 60 * label).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f'{index}.{"jpg" if index % 2 else "png"}')
    return root


def digits_config(root: Path) -> Config:
    """The recipe of the digits with GradAug, for a tiny network on 18 images, which it makes."""
    cfg = Config.fromfile(f'{ROOT}/configs/classification/resnet18_digits_gradaug.py')
    cfg.model.update(backbone=BACKBONE, num_classes=3)
    make_folders(root)
    for loop in ('train', 'val', 'test'):
        cfg[f'{loop}_dataloader'].dataset.data_root = str(root)
    cfg.train_dataloader.update(batch_size=4)
    cfg.train_dataloader.dataset.labels_per_class = None
    return cfg
