"""What is read from a checkpoint: its config, without executing it, and the widths of its run."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from mmengine.config import Config

from mmgradaug.errors import ConfigError
from mmgradaug.publishing.config_text import config_from_text
from mmgradaug.publishing.source import Source, build_model, untrained_widths

DETECTOR = dict(type='mmgradaug.GradAugDetector', detector='MaskRCNN')


def test_values_of_every_kind():
    values = dict(a=-1.5, b=None, c=(1,), d={'a b': [True, 'x']}, e=math.inf, f=dict())
    values['g'] = [dict(h=2)]
    assert config_from_text(Config(values).pretty_text).to_dict() == values


@pytest.mark.parametrize('text', [
    'import os', "x = __import__('os').system('true')", "x = [open('file')]",
    'x = dict(*[1])', 'x = dict(**y())', 'x, y = 1, 2', 'x[0] = 1', 'x = (',
])  # fmt: skip
def test_what_would_be_executed_is_refused(text):
    with pytest.raises(ValueError, match='nothing is executed to read it; give the config with'):
        config_from_text(text)


def test_what_only_the_config_file_imports_is_told():
    with pytest.raises(ConfigError, match=r'OwnFPN is not in .* config file with --config'):
        build_model(dict(type='OwnFPN'))


def test_the_checkpoints_own_config_tells_what_it_trained():
    plain = Config(dict(model=dict(DETECTOR, gradaug=dict(num_subnets=0)))).pretty_text
    source = Source(Path('a.pth'), {'cfg': plain}, {}, Config(dict(model=DETECTOR)))
    assert untrained_widths(source, [1.0, 0.95]) == [0.95]
    not_read, published = {'cfg': 'model = build()'}, {'cfg': plain, 'mmgradaug': {}}
    for meta in (not_read, published):
        assert untrained_widths(replace(source, meta=meta), [1.0, 0.95, 0.3]) == [0.3]


@pytest.mark.parametrize(('model', 'untrained'), [
    (DETECTOR, [0.89, 0.3]),  # the default
    (dict(DETECTOR, gradaug=dict(min_width=0.8, distill=None)), [0.3]),
    (dict(DETECTOR, gradaug=dict(num_subnets=0)), [0.9, 0.89, 0.3]),
    (dict(type='GradAugClassifier', gradaug=dict(shrink='depth')), [0.9, 0.89, 0.3]),
    (dict(type='Classifier'), [0.9, 0.89, 0.3]),
    (None, []),  # nothing is known
])  # fmt: skip
def test_untrained_widths(model, untrained):
    cfg = model and Config(dict(model=model))
    widths = [1.0, 0.9, 0.89, 0.3]
    assert untrained_widths(Source(Path('a.pth'), {}, {}, cfg), widths) == untrained
    assert untrained_widths(Source(Path('a.pth'), {}, {}, cfg, library='timm'), widths) == []
