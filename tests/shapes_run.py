"""The recipe of the shapes on a few small images of its own: as a config, and as options of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmgradaug.datasets.shapes import ShapesSpec, make_shapes
from tests.networks import ROOT


def shapes_config(root: Path, train: int = 4, val: int = 1, **spec: Any) -> Config:
    """Generate images under a folder, and read the GradAug config with that for its data.

    Args:
        root: The folder.
        train: Training images.
        val: Validation images.
        spec: Options of both, see ``ShapesSpec``; images have 64 x 64 pixels by default.
    """
    options = dict(size=(64, 64)) | spec
    make_shapes(root, ShapesSpec(train, **options), ShapesSpec(val, **options))
    cfg = Config.fromfile(f'{ROOT}/configs/mask_rcnn_r18_gradaug_shapes.py')
    cfg.train_dataloader.dataset.dataset.data_root = f'{root}/'
    for loop in ('val', 'test'):
        cfg[f'{loop}_dataloader'].dataset.data_root = f'{root}/'
        cfg[f'{loop}_evaluator'].ann_file = f'{root}/annotations/val.json'
    return cfg


def shapes_options(root: Path, train: int = 8, val: int = 2) -> list[str]:
    """Generate images under a folder; returns the words of ``--cfg-options`` that name them."""
    make_shapes(root, ShapesSpec(train, size=(64, 64)), ShapesSpec(val, size=(64, 64)))
    loaders = ['train_dataloader.dataset', 'val_dataloader', 'test_dataloader']
    annotations = f'{root}/annotations/val.json'
    return [
        *(f'{loader}.dataset.data_root={root}/' for loader in loaders),
        *(f'{name}.ann_file={annotations}' for name in ('val_evaluator', 'test_evaluator')),
    ]
