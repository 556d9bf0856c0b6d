"""What every test starts from."""

import pytest
from mmdet.utils import register_all_modules
from mmengine.logging import MessageHub
from mmengine.registry import VISUALIZERS


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
    for kind in (MessageHub, *VISUALIZERS.module_dict.values()):
        kind._instance_dict.clear()
