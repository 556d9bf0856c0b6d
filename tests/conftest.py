"""What every test starts from."""

import pytest
from mmdet.utils import register_all_modules


@pytest.fixture(autouse=True)
def mmdet_scope():
    """mmdet's names, whatever test ran before."""
    register_all_modules(init_default_scope=True)
