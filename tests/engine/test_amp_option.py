"""tools/train.py --amp: what it makes of the config, and one line where there is no GPU."""

import re
from pathlib import Path
from unittest import mock

import pytest
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper, build_optim_wrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmengine.runner import Runner
from torch import nn

from mmgradaug.engine import mmdet_tools
from mmgradaug.engine.mmdet_tools import run_tool
from tests.messages import one_line
from tests.training.steps import amp_on_cpu

CONFIG = Path(__file__).parents[2] / 'configs/mask_rcnn_r18_gradaug_shapes.py'


@pytest.fixture
def train(monkeypatch, tmp_path):
    """Runs tools/train.py, data unchecked."""
    monkeypatch.setattr(mmdet_tools, 'check_run', lambda *_: None)
    options = ['--work-dir', str(tmp_path), '--cfg-options']
    options += ['model.backbone.base_channels=8', 'model.neck.in_channels=8,16,32,64']
    return lambda *words: run_tool('train', [str(CONFIG), *words, *options], ('train', 'val'))


def test_the_optimizer_wrapper_scales_losses_dynamically(monkeypatch, train):
    configs = []
    stand_in = classmethod(lambda cls, cfg: configs.append(cfg) or mock.Mock())
    monkeypatch.setattr(Runner, 'from_cfg', stand_in)
    train('--amp')
    plain, amp = (cfg.optim_wrapper for cfg in (Config.fromfile(CONFIG), *configs))
    assert plain.type == 'OptimWrapper'
    assert amp == {**plain, 'type': 'AmpOptimWrapper', 'loss_scale': 'dynamic'}
    with amp_on_cpu():
        wrapper = build_optim_wrapper(nn.Linear(2, 2), amp)
    assert isinstance(wrapper, AmpOptimWrapper)
    assert wrapper.loss_scaler.is_enabled()
    assert wrapper.loss_scaler.get_scale() == 2.0**16
    assert wrapper.clip_grad_kwargs['max_norm'] == plain.clip_grad.max_norm == 10


def test_without_a_gpu_one_line_says_so(monkeypatch, train):
    monkeypatch.setattr(Runner, 'build_train_loop', lambda self, loop: mock.Mock())
    for name in vars(amp_optimizer_wrapper):
        if re.fullmatch('is_.*_available', name):
            monkeypatch.setattr(amp_optimizer_wrapper, name, lambda: False)
    with pytest.raises(SystemExit) as stopped:
        train('--amp')
    assert 'is only available training on gpu' in one_line(stopped.value)
