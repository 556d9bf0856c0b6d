"""A config that trains a tiny Mask R-CNN with GradAug on a few generated images."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmgradaug.datasets.shapes import CLASSES

PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale_factor=1.0, keep_ratio=True),
    dict(type='PackDetInputs'),
]


def edit_annotations(root: Path, change: Callable, split: str = 'train') -> Path:
    """Change the annotation file of a split; returns its path."""
    path = root / f'annotations/{split}.json'
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def each(of: Callable = dict, part: str = 'annotations', **fields: Any) -> Callable:
    """A change of all entries of a part: sets fields, also those that ``of`` gives for an entry."""
    return lambda content: [entry.update(of(entry), **fields) for entry in content[part]]


def coco_config(root: Path, model: Any) -> dict[str, Any]:
    """A config of three iterations on a data set of ``make_shapes``, as plain dictionaries."""

    def loader(split: str) -> dict[str, Any]:
        dataset = dict(
            type='CocoDataset',
            data_root=f'{root}/',
            ann_file=f'annotations/{split}.json',
            data_prefix=dict(img=f'{split}/'),
            metainfo=dict(classes=CLASSES),
            pipeline=copy.deepcopy(PIPELINE),
            test_mode=split == 'val',
        )
        sampler = dict(type='DefaultSampler', shuffle=False)
        return dict(batch_size=1, num_workers=0, sampler=sampler, dataset=dataset)

    labels = f'{root}/annotations/val.json'
    evaluator = dict(type='CocoMetric', ann_file=labels, metric=['bbox', 'segm'])
    return dict(
        default_scope='mmdet',
        model=copy.deepcopy(model),
        train_dataloader=loader('train'),
        val_dataloader=loader('val'),
        test_dataloader=loader('val'),
        val_evaluator=evaluator,
        test_evaluator=dict(evaluator),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=3, val_interval=9),
        val_cfg=dict(type='ValLoop'),
        test_cfg=dict(type='TestLoop'),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.001)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1)),
        visualizer=dict(type='DetLocalVisualizer'),
        randomness=dict(seed=0),
    )
