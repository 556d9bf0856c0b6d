"""A small data set and a config that trains on it."""

import json
import shutil

import pytest
from mmengine.config import Config

from mmgradaug.datasets.shapes import ShapesSpec, make_shapes
from tests.coco_runs import coco_config
from tests.networks import detector_config


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
    return Config(coco_config(root, detector))


@pytest.fixture
def spoil(root):
    """Change the annotation file of a split: ``spoil(function, split='train')``."""

    def change(function, split='train'):
        path = root / 'annotations' / f'{split}.json'
        content = json.loads(path.read_text())
        function(content)
        path.write_text(json.dumps(content))
        return path

    return change
