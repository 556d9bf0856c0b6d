"""What every test starts from."""

import os
import shutil

# Results are compared bit by bit, which GPUs do not grant, and some tests start more processes
# than a machine may have GPUs. Set before torch looks, and for the processes that tests start.
os.environ['CUDA_VISIBLE_DEVICES'] = ''
# Tests run side by side, on tensors that are too small to share out: a third less work.
os.environ['OMP_NUM_THREADS'] = '1'

import pytest
from mmdet.utils import register_all_modules
from mmdet.visualization import DetLocalVisualizer
from mmengine.logging import MessageHub
from mmengine.visualization import Visualizer
from yapf.yapflib import yapf_api

from mmgradaug.datasets.shapes import ShapesSpec, make_shapes

# mmengine lays a config out as code whenever a run writes it: seconds in which nothing is tested.
yapf_api.FormatCode = lambda text, **style: (f'{text}\n', True)


@pytest.fixture(autouse=True)
def mmdet_scope():
    """mmdet's names, whatever test ran before."""
    register_all_modules(init_default_scope=True)


@pytest.fixture(autouse=True)
def no_earlier_run():
    """Forget earlier runs, which mmengine names by the second.

    Two of one second would share a message hub, whose iteration fixes draws, and a visualizer.
    """
    kinds = (MessageHub, Visualizer, DetLocalVisualizer)
    for kind in kinds:
        kind._instance_dict.clear()
    yield
    for kind in kinds:  # before the next module's fixtures, which run before this one
        kind._instance_dict.clear()


@pytest.fixture(scope='session')
def shapes(tmp_path_factory):
    """A data set of three images to train on and two to validate."""
    spec = ShapesSpec(3, size=(64, 64))
    return make_shapes(tmp_path_factory.mktemp('shapes'), spec, ShapesSpec(2, size=(64, 64)))


@pytest.fixture
def root(shapes, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(shapes, tmp_path / 'shapes')
