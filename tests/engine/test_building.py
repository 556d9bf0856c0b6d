"""While a run is built, errors name config keys; its loop runs with mmengine as it is."""

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import MODELS
from mmengine.runner import CheckpointLoader, Runner, load_checkpoint
from torch import nn

from mmgradaug.checkpoints.safe_loading import UnsafeCheckpointError
from mmgradaug.engine.building import STEPS, building_runs
from mmgradaug.engine.errors import InputError
from mmgradaug.engine.preflight.model import build_model
from mmgradaug.publishing.narrow import build_stock
from tests.engine import toy
from tests.harmful import Command

PATCHED = (*STEPS, 'call_hook')


def patches():
    """What the tools replace while a run is built."""
    found = {name: vars(Runner)[name] for name in (*PATCHED, 'from_cfg')}
    return {**found, 'load_checkpoint': CheckpointLoader.load_checkpoint}


class Watch(Hook):
    """Keeps what is in place at several points of a run, and loads a pickle of the user's own."""

    def __init__(self, path):
        self.path = path
        self.seen = {}

    def before_run(self, runner):
        self.seen['before_run'] = patches()

    def before_train(self, runner):
        self.seen['before_train'] = patches()
        self.loaded = torch.load(self.path, weights_only=False)


def test_nothing_is_in_place_once_the_loop_starts(tmp_path):
    stock = patches()
    torch.save(dict(mine=Watch), tmp_path / 'mine.pth')
    watch = Watch(tmp_path / 'mine.pth')
    run = toy.runner(tmp_path, train_cfg=dict(by_epoch=True, max_epochs=1), hooks=(watch,))
    with building_runs():
        Runner.train(run)
        assert patches() == stock
    assert patches() == stock
    assert watch.seen['before_train'] == stock
    assert all(watch.seen['before_run'][name] != stock[name] for name in stock)
    assert watch.loaded == dict(mine=Watch)


def test_the_key_of_a_hook_is_told(tmp_path):
    with building_runs(), pytest.raises(InputError, match=r'^custom_hooks: .*\(perhaps interval\)'):
        toy.runner(tmp_path, hooks=(dict(type='LoggerHook', intervall=1),))


class Refuses(Hook):
    def before_run(self, runner):
        raise InputError('no')


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (dict(optim=dict(accumulative_counts=0)), '^optim_wrapper: '),
        (dict(scheduler=dict(type='ExponentialLR', gama=0.9)), '^param_scheduler: .*gama'),
        (dict(hooks=(Refuses(),)), '^no$'),
    ],
)
def test_a_caller_of_the_runner_gets_an_exception(tmp_path, change, words):
    """Which it may catch, in contrast to the end of the process."""
    run = toy.runner(tmp_path, **change)
    with building_runs(), pytest.raises(InputError, match=words):
        Runner.train(run)


def test_a_loop_without_a_batch_is_refused(tmp_path):
    run = toy.runner(tmp_path)
    run._train_dataloader['batch_size'] = 99
    words = r'^train_dataloader\.batch_size=99 and drop_last=True leave no batch of .* 10 images'
    with building_runs(), pytest.raises(InputError, match=words):
        Runner.train(run)


@MODELS.register_module(force=True)
class Student(nn.Module):
    """Loads a teacher while it is built, as mmdet's detectors that distil do."""

    def __init__(self, teacher):
        super().__init__()
        load_checkpoint(nn.Linear(2, 1), teacher)


@pytest.mark.parametrize(
    'build',
    [build_model, build_stock],
    ids=['check', 'publish'],
)
def test_models_that_tools_build_load_as_data_only(tmp_path, build):
    made, path = tmp_path / 'made', tmp_path / 'teacher.pth'
    torch.save(dict(state_dict=nn.Linear(2, 1).state_dict(), extra=Command(made)), path)
    with pytest.raises(UnsafeCheckpointError, match=r'teacher\.pth holds posix\.system'):
        build(Config(dict(model=dict(type='Student', teacher=str(path)))))
    assert not made.exists()
