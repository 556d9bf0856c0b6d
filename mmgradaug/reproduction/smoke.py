"""Smoke runs of rows: the same code from end to end, on generated data with a tiny network."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config, DictAction
from mmengine.registry import MODELS, init_default_scope

from ..datasets import ShapesSpec, make_shapes
from ..datasets.shapes import CLASSES
from ..engine.cli import load_config
from ..type_names import type_name
from .rows import Row
from .runner import Run, plan_runs

FOLDERS = 6  # classes of class folders, so that there is a top-5 accuracy
SIZE = (96, 64)  # of detectors' images, width and height
SMALL: dict[str, dict[str, Any]] = {  # options of a small one of the same kind
    'ResNet': dict(depth=50, base_channels=8), 'ResNetV1d': dict(depth=50, base_channels=8),
    'WideResNet': dict(depth=10, widen_factor=0.25), 'PyramidNet': dict(depth=20, alpha=9),
    'DepthResNet': dict(depth=8), 'FPN': dict(in_channels=[32, 64, 128, 256]),
    'Shared2FCBBoxHead': dict(fc_out_channels=64), 'LabelledAndUnlabelled': dict(unlabelled=4),
    'RandomResizedCrop': dict(size=64), 'CenterCrop': dict(size=64), 'Cutout': dict(size=8),
    'FCNMaskHead': dict(conv_out_channels=16), 'RandomSampler': dict(num=16),
}  # fmt: skip


def plan_smoke(row: Row, folder: Path) -> Run:
    """Return a row's run on a few generated images, which are written to a folder with its config.

    It trains for a short time, validates, and does what follows. The folder is made anew.
    """
    init_default_scope('mmdet')
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    options = (option.partition('=') for option in row.options_of(0))
    cfg = load_config(row.config, {k: DictAction._parse_iterable(v) for k, _, v in options})
    shrink(cfg, folder.absolute())
    path = folder / Path(row.config).name
    path.write_text(''.join(f'{key} = {value!r}\n' for key, value in cfg.to_dict().items()))
    then = f'{row.evaluation} {row.smoke_options}'.strip()
    return plan_runs(replace(row, config=str(path), options='', evaluation=then), [0], folder)[0]


def shrink(cfg: Config, folder: Path) -> None:
    """Make a config one of a short run of a tiny network on images in a folder."""
    classes = FOLDERS if 'val_evaluator' in cfg and 'ann_file' not in cfg.val_evaluator else 3
    for part in dicts_of(cfg._cfg_dict):
        kind = type_name(part.get('type')).removeprefix('Slimmable').rpartition('/')[2]
        part.update(SMALL.get(kind, {}))
        if 'num_classes' in part:
            part.num_classes = classes
        if 'num_workers' in part:
            batch = min(part.batch_size, 4)
            part.update(num_workers=0, persistent_workers=False, pin_memory=False, batch_size=batch)
        if kind in ('ClassFolders', 'TorchvisionImages'):
            use_folders(part, folder / 'images')
        elif 'ann_file' in part:
            use_shapes(part, folder / 'shapes')
        elif kind == 'Resize':
            part.update(dict(scale=SIZE) if 'scale' in part else dict(size=min(part.size, 72)))
    length = dict(max_iters=3, val_interval=3)
    if 'max_epochs' in cfg.train_cfg:
        length = dict(max_epochs=1, val_interval=1)
    cfg.train_cfg.update(length)
    cfg.default_hooks.checkpoint.interval = length['val_interval']
    for number, part in enumerate(list(dicts_of(cfg.model))):
        if (part.get('init_cfg') or {}).get('type') == 'Pretrained':
            own = {key: value for key, value in part.items() if key != 'init_cfg'}
            part.init_cfg.checkpoint = str(folder / f'pretrained{number}.pth')
            torch.save(MODELS.build(own).state_dict(), part.init_cfg.checkpoint)


def dicts_of(value: Any) -> Iterator[Any]:
    """Yield a config's dicts, also those in lists, the outer ones first."""
    if isinstance(value, dict):
        yield value
    if isinstance(value, (dict, list, tuple)):
        for part in list(value.values() if isinstance(value, dict) else value):
            yield from dicts_of(part)


def use_folders(dataset: Any, root: Path) -> None:
    """Make a data set one of generated images in class folders, and write them."""
    name = dataset.pop('name', None)
    if name:  # it had images of its own, not files
        load = [dict(type='LoadImageFromFile'), dict(type='ToImageTensor')]
        dataset.pipeline = [*load, *dataset.pipeline]
    dataset.update(type='ClassFolders', data_root=f'{root}/')
    if 'labels_per_class' in dataset:
        dataset.labels_per_class = 1
    side = {None: 80, 'STL10': 96}.get(name, 32)
    generator = np.random.default_rng(0)
    for label in range(FOLDERS):
        path = root / dataset.split / str(label)
        path.mkdir(parents=True, exist_ok=True)
        for number in range(2):
            pixels = generator.integers(30 * label, 256, (side, side, 3), dtype=np.uint8)
            cv2.imwrite(str(path / f'{number}.png'), pixels)


def use_shapes(part: Any, root: Path) -> None:
    """Make a data set or an evaluator one of generated shapes, and write them."""
    make_shapes(root, ShapesSpec(6, size=SIZE), ShapesSpec(2, size=SIZE))
    split = 'train' if 'train' in part.ann_file else 'val'
    if 'data_root' in part:
        part.update(data_root=f'{root}/', data_prefix=dict(img=f'{split}/'))
        part.update(ann_file=f'annotations/{split}.json', metainfo=dict(classes=CLASSES))
    else:
        part.ann_file = f'{root}/annotations/{split}.json'
