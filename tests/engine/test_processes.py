"""What the tools do about several processes before they start."""

import argparse

import pytest
import torch
from mmengine.config import Config, DictAction
from mmengine.model import MMDistributedDataParallel

from mmgradaug import GradAugDistributedDataParallel
from mmgradaug.engine import processes
from mmgradaug.engine.processes import join_processes, wrapper_options

GRADAUG = dict(type='GradAugDetector', gradaug=dict(num_subnets=2))


class Mine(GradAugDistributedDataParallel):
    """A user's own."""


def wrapper(model, launcher='pytorch', **cfg):
    """The wrapper's config after the options are merged, as mmdet's tools merge them."""
    cfg = Config(dict(model=model, **cfg))
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    cfg.merge_from_dict(parser.parse_args(wrapper_options(cfg, launcher)).cfg_options or {})
    return cfg.get('model_wrapper_cfg')


def test_a_gradaug_config_gets_its_wrapper():
    name = 'GradAugDistributedDataParallel'
    for kind in (GRADAUG, dict(GRADAUG, type='mmgradaug.GradAugDetector')):
        assert wrapper(kind) == dict(type=name, find_unused_parameters=False)
    assert wrapper(GRADAUG, find_unused_parameters=True) == dict(
        type=name, find_unused_parameters=True
    )
    own = dict(find_unused_parameters=True, broadcast_buffers=True)
    assert wrapper(GRADAUG, model_wrapper_cfg=own) == dict(type=name, **own)


@pytest.mark.parametrize(
    'kind',
    ['GradAugDistributedDataParallel', 'mmgradaug.GradAugDistributedDataParallel', Mine],
)
def test_a_configured_wrapper_is_kept(kind):
    assert (
        wrapper_options(Config(dict(model=GRADAUG, model_wrapper_cfg=dict(type=kind))), 'none')
        == []
    )


@pytest.mark.parametrize(
    'kind',
    [
        'MMDistributedDataParallel',
        'MMSeparateDistributedDataParallel',
        'MMFullyShardedDataParallel',
        'DistributedDataParallel',
        'DataParallel',
        MMDistributedDataParallel,
    ],
)
def test_wrappers_that_would_drop_sub_networks_are_refused(kind):
    name = kind if isinstance(kind, str) else kind.__name__
    with pytest.raises(ValueError, match=rf"type='{name}' computes.*GradAugDistributedDataPar"):
        wrapper_options(Config(dict(model=GRADAUG, model_wrapper_cfg=dict(type=kind))), 'none')
    plain = dict(GRADAUG, gradaug=dict(num_subnets=0))
    assert (
        wrapper_options(Config(dict(model=plain, model_wrapper_cfg=dict(type=kind))), 'none') == []
    )


def test_plain_training_on_the_cpu_names_no_gpu(monkeypatch):
    monkeypatch.setattr(processes, 'get_device', lambda: 'cpu')
    assert wrapper(dict(type='MaskRCNN')) == dict(
        type='MMDistributedDataParallel',
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=False,
    )
    assert wrapper(dict(type='MaskRCNN'), launcher='none') is None
    monkeypatch.setattr(processes, 'get_device', lambda: 'cuda')
    assert wrapper(dict(type='MaskRCNN')) is None


@pytest.fixture
def joined(monkeypatch):
    """Calls of mmengine's way to join, of which none happens."""
    calls = []
    monkeypatch.setattr(processes, 'init_dist', lambda launcher, **kw: calls.append((launcher, kw)))
    monkeypatch.setattr(processes, 'set_multi_processing', lambda **kw: None)
    return calls


def test_processes_without_a_gpu_meet_through_gloo(joined, monkeypatch):
    monkeypatch.setattr(processes, 'get_device', lambda: 'cpu')
    cfg = Config(dict(env_cfg=dict(dist_cfg=dict(backend='nccl', timeout=60))))
    join_processes(cfg, 'none')
    assert joined == []
    join_processes(cfg, 'pytorch')
    join_processes(Config(), 'slurm')
    assert joined == [
        ('pytorch', dict(backend='gloo', timeout=60)),
        ('slurm', dict(backend='gloo')),
    ]


def test_more_processes_than_gpus_are_named(joined, monkeypatch):
    monkeypatch.setattr(processes, 'get_device', lambda: 'cuda')
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    monkeypatch.setenv('LOCAL_RANK', '1')
    join_processes(Config(), 'pytorch')
    monkeypatch.setenv('LOCAL_RANK', '2')
    with pytest.raises(ValueError, match=r'process 2 of this.*there are 2: start at most 2'):
        join_processes(Config(), 'pytorch')
    join_processes(Config(), 'none')
    assert joined == []  # mmengine joins them, with nccl
