"""What every test starts from."""

import os

# Results are compared bit by bit, which GPUs do not grant, and some tests start more processes
# than a machine may have GPUs. Set before torch looks, and for the processes that tests start.
os.environ['CUDA_VISIBLE_DEVICES'] = ''
# Tests run side by side, on tensors that are too small to share out: a third less work.
os.environ.setdefault('OMP_NUM_THREADS', '1')

import pytest
from mmdet.utils import register_all_modules
from mmdet.visualization import DetLocalVisualizer
from mmengine.logging import MessageHub
from mmengine.visualization import Visualizer
from yapf.yapflib import yapf_api

# mmengine lays a config out as code whenever a run writes it: seconds in which nothing is tested.
yapf_api.FormatCode = lambda text, **style: (f'{text}\n', True)


@pytest.fixture(autouse=True)
def mmdet_scope():
    """mmdet's names, whatever test ran before."""
    register_all_modules(init_default_scope=True)


@pytest.fixture(autouse=True)
def no_earlier_run():
    """Forget the runs of earlier tests.

    mmengine names a run by the second: two of one second would share a message hub, whose
    iteration fixes draws, and a visualizer, which writes into the first one's folder.
    """
    for kind in (MessageHub, Visualizer, DetLocalVisualizer):
        kind._instance_dict.clear()
