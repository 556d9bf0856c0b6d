"""What every test starts from."""

import pytest
from mmdet.utils import register_all_modules
from mmengine.logging import MessageHub


@pytest.fixture(autouse=True)
def mmdet_scope():
    """mmdet's names, whatever test ran before."""
    register_all_modules(init_default_scope=True)


@pytest.fixture(autouse=True)
def no_runner():
    """Take the place of an earlier test's message hub, whose iteration would fix draws."""
    MessageHub.get_instance(f'test_{id(object())}').runtime_info.clear()
