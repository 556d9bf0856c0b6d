"""A checkpoint's config is read without executing it."""

import math
from pathlib import Path

import pytest
from mmengine.config import Config

from mmgradaug.publishing.config_text import config_from_text

CONFIGS = Path(__file__).parents[2] / 'configs'


def test_what_mmengine_writes_is_read_back():
    cfg = Config.fromfile(CONFIGS / 'mask_rcnn_r50_gradaug_1x.py')
    assert config_from_text(cfg.pretty_text).to_dict() == cfg.to_dict()


def test_values_of_every_kind():
    values = dict(a=-1.5, b=None, c=(1,), d={'a b': [True, 'x']}, e=math.inf, f=dict())
    assert config_from_text(Config(values).pretty_text).to_dict() == values


@pytest.mark.parametrize('text', [
    'import os', "x = __import__('os').system('true')", "x = [open('file')]",
    'x = dict(*[1])', 'x = dict(**y())', 'x, y = 1, 2', 'x[0] = 1',
    'x = (',
])  # fmt: skip
def test_what_would_be_executed_is_refused(text):
    with pytest.raises(ValueError, match='nothing is executed to read it; give the config with'):
        config_from_text(text)
