"""A small data set and a config that trains on it."""

import copy
import json
import shutil

import pytest
from mmengine.config import Config

from mmgradaug.datasets.shapes import CLASSES, ShapesSpec, make_shapes
from tests.networks import detector_config

PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs'),
]


@pytest.fixture(scope='session')
def shapes(tmp_path_factory):
    spec = ShapesSpec(num_images=3, size=(64, 64))
    return make_shapes(tmp_path_factory.mktemp('shapes'), spec, ShapesSpec(2, size=(64, 64)))


@pytest.fixture
def root(shapes, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(shapes, tmp_path / 'shapes')


@pytest.fixture(scope='session')
def detector():
    return detector_config()


@pytest.fixture
def cfg(root, detector):
    """A small Mask R-CNN with GradAug on the data set under ``root``."""

    def loader(split):
        dataset = dict(
            type='CocoDataset',
            data_root=f'{root}/',
            ann_file=f'annotations/{split}.json',
            data_prefix=dict(img=f'{split}/'),
            metainfo=dict(classes=CLASSES),
            pipeline=PIPELINE,
            test_mode=split == 'val',
        )
        sampler = dict(type='DefaultSampler', shuffle=split == 'train')
        return dict(batch_size=1, num_workers=0, sampler=sampler, dataset=dataset)

    evaluator = dict(
        type='CocoMetric', ann_file=f'{root}/annotations/val.json', metric=['bbox', 'segm']
    )
    return Config(
        dict(
            default_scope='mmdet',
            model=copy.deepcopy(detector),
            train_dataloader=loader('train'),
            val_dataloader=loader('val'),
            test_dataloader=loader('val'),
            val_evaluator=evaluator,
            test_evaluator=evaluator,
        )
    )


@pytest.fixture
def spoil(root):
    """Change the annotation file of a split: ``spoil(function, split='train')``."""

    def change(function, split='train'):
        path = root / 'annotations' / f'{split}.json'
        content = json.loads(path.read_text())
        result = function(content)
        path.write_text(json.dumps(content if result is None else result))
        return path

    return change
