"""A small data set and a config that trains on it."""

from functools import partial

import pytest
from mmengine.config import Config

from tests.coco_runs import coco_config, edit_annotations
from tests.networks import detector_config


@pytest.fixture
def cfg(root):
    """A small Mask R-CNN with GradAug on the data set under ``root``."""
    return Config(coco_config(root, detector_config()))


@pytest.fixture
def spoil(root):
    """Change the annotation file of a split: ``spoil(function, split='train')``."""
    return partial(edit_annotations, root)
