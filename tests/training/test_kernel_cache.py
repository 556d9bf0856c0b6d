import os

import pytest

from mmgradaug.training.kernel_cache import CAPACITY, VARIABLES, keep_kernels
from tests.classification.tiny import build


@pytest.fixture
def unset(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_a_model_with_sub_networks_makes_room_for_kernels(unset):
    build(gradaug=dict(num_subnets=0))
    assert not any(name in os.environ for name in VARIABLES)
    build()
    assert os.environ.pop(VARIABLES[0]) == str(CAPACITY)


@pytest.mark.parametrize('name', VARIABLES)
def test_the_environments_own_number_stays(unset, monkeypatch, name):
    monkeypatch.setenv(name, '5')
    keep_kernels()
    assert [os.environ.get(variable) for variable in VARIABLES].count(None) == 1
    assert os.environ[name] == '5'
