"""GPUs that mmcv or cuDNN would not run well on."""

from types import SimpleNamespace

import pytest
from mmengine.config import Config

from mmgradaug.engine.preflight import devices
from mmgradaug.training.sampler import SubnetSampler


@pytest.mark.parametrize(
    ('device', 'compiled', 'warns'),
    [('cuda', 'not available', True), ('cuda', '12.8', False), ('cpu', 'not available', False)],
)
def test_a_gpu_without_operations_is_said(monkeypatch, capsys, device, compiled, warns):
    monkeypatch.setattr(devices, 'get_device', lambda: device)
    monkeypatch.setattr(devices, 'get_compiling_cuda_version', lambda: compiled)
    devices.warn_of_missing_cuda_ops()
    assert ('mmcv was compiled for the CPU' in ''.join(capsys.readouterr())) is warns


@pytest.mark.parametrize(
    ('options', 'warns'),
    [
        (dict(), True),
        (dict(num_subnets=0), False),
        (dict(num_subnets=1, force_min_width=True), False),
        (dict(width_step=0.025), False),
        (dict(min_width=1.0), False),
    ],
)
def test_tuning_for_every_width_is_said(capsys, options, warns):
    model = SimpleNamespace(sampler=SubnetSampler(**options))
    for tunes in (True, False):
        devices.warn_of_tuning(Config(dict(env_cfg=dict(cudnn_benchmark=tunes))), model)
        said = 'cudnn_benchmark=True tunes' in ''.join(capsys.readouterr())
        assert said is (warns and tunes)
    devices.warn_of_tuning(Config(dict(env_cfg=dict(cudnn_benchmark=True))), object())
    assert ''.join(capsys.readouterr()) == ''
