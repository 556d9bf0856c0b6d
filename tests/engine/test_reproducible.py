"""Stopped and resumed runs end as those that ran through, in every kind of loop."""

import numpy as np
import pytest
import torch
from mmdet.datasets.samplers import AspectRatioBatchSampler
from mmengine.dataset import InfiniteSampler
from mmengine.hooks import Hook
from mmengine.registry import DATA_SAMPLERS, LOOPS
from mmengine.runner import BaseLoop

from tests.engine.toy import assert_same, trained, validation

ITERS = dict(type='IterBasedTrainLoop', max_iters=11)
BY_ITER = dict(by_epoch=False, interval=4)
OWN = dict(type='OwnLoop')


@DATA_SAMPLERS.register_module(force=True)
class DrawsFromNumPy(InfiniteSampler):
    """Chooses as it goes, as mmdet's GroupMultiSourceSampler does."""

    def __iter__(self):
        while True:
            yield np.random.randint(10)


@LOOPS.register_module(force=True)
class OwnLoop(BaseLoop):
    """A user's own loop over three epochs, not a subclass of mmengine's."""

    max_epochs, max_iters, _epoch, _iter = 3, 9, 0, 0
    epoch = property(lambda self: self._epoch)
    iter = property(lambda self: self._iter)

    def run(self):
        self.runner.call_hook('before_train')
        while self._epoch < self.max_epochs:
            self.runner.call_hook('before_train_epoch')
            self.runner.model.train()
            for place, data in enumerate(self.dataloader):
                assert place < 3, 'batches of an epoch'
                self.runner.call_hook('before_train_iter', batch_idx=place, data_batch=data)
                self.runner.model.train_step(data, self.runner.optim_wrapper)
                self.runner.call_hook('after_train_iter', batch_idx=place, data_batch=data)
                self._iter += 1
            self.runner.call_hook('after_train_epoch')
            self._epoch += 1
            if self.runner.val_loop is not None:
                self.runner.val_loop.run()


@pytest.mark.parametrize(('stop', 'kwargs'), [
    (5, dict()),
    (7, dict(workers=2, persistent=True)),
    # In the middle of an epoch of three batches; and after its last batch.
    (8, dict(checkpoint=dict(by_epoch=False, interval=2))),
    (5, dict(checkpoint=dict(by_epoch=False, interval=5), workers=1, persistent=True)),
    (4, dict(checkpoint=dict(by_epoch=False, interval=3))),
    # Loops without epochs, by a sampler without an end and by one that starts again.
    (9, dict(train_cfg=ITERS, sampler='InfiniteSampler', checkpoint=BY_ITER, workers=2)),
    (9, dict(train_cfg=ITERS, sampler='DrawsFromNumPy', checkpoint=BY_ITER)),
    (9, dict(train_cfg=ITERS, checkpoint=BY_ITER, workers=1)),
    (4, dict(optim=dict(accumulative_counts=2), checkpoint=dict(by_epoch=False, interval=2))),
    (6, dict(optim=dict(type='CpuAmpOptimWrapper'))),
    (5, dict(train_cfg=OWN)),
    (6, dict(hooks=(dict(type='EMAHook', momentum=0.3),))),
])  # fmt: skip
def test_a_resumed_run_ends_the_same(tmp_path, stop, kwargs):
    whole = trained(tmp_path / 'whole', **kwargs)
    trained(tmp_path / 'stopped', stop=stop, **kwargs)
    resumed = trained(tmp_path / 'stopped', resume=True, **kwargs)
    assert resumed.iter == whole.iter > stop
    assert_same(whole, resumed)
    seen = resumed.model.seen
    assert 0 < len(seen) < len(whole.model.seen)
    expected = whole.model.seen[-len(seen) :]
    assert all(torch.equal(a, b) for a, b in zip(seen, expected, strict=True))


def test_own_loops_go_on_without_the_validation_they_owe(tmp_path):
    trained(tmp_path, train_cfg=OWN, **validation(stop=1))
    assert trained(tmp_path, train_cfg=OWN, resume=True, **validation()).iter == 9


def test_a_seed_that_nobody_chose_is_kept(tmp_path):
    """The order of the data too, whose sampler is built before the checkpoint is read."""
    trained(tmp_path, seed=None, stop=5)
    first = trained(tmp_path, seed=None, resume=True)
    start = dict(load_from=str(tmp_path / 'epoch_1.pth'))
    second = trained(tmp_path / 'again', seed=None, resume=True, **start)
    assert first.seed == second.seed
    # From different epochs: the last epochs have to agree.
    assert_same(first, second)


class StartEarly(Hook):
    """Iterates the loader before training, as mmengine 0.10.7 does in loops by iterations."""

    def before_run(self, runner):
        runner.train_loop.dataloader_iterator._iterator = iter(runner.train_loop.dataloader)


@pytest.mark.parametrize(('workers', 'kwargs', 'hooks'), [
    (2, dict(), ()),
    (1, dict(train_cfg=ITERS, sampler='InfiniteSampler'), (StartEarly(),)),
    (1, dict(train_cfg=ITERS, sampler='InfiniteSampler',
             batch_sampler=AspectRatioBatchSampler), (StartEarly(),)),
])  # fmt: skip
def test_draws_do_not_depend_on_workers(tmp_path, workers, kwargs, hooks):
    none = trained(tmp_path / 'none', **kwargs)
    kwargs |= dict(workers=workers, persistent=True, hooks=hooks)
    assert_same(none, trained(tmp_path / 'some', **kwargs))


class ChangeData(Hook):
    """Changes the data set as late as BadImagesHook does."""

    priority = 'LOWEST'

    def before_train_epoch(self, runner):
        runner.train_dataloader.dataset.offset = 1000


def test_hooks_reach_the_first_batch_of_a_run_by_iterations(tmp_path):
    hooks = (StartEarly(), ChangeData())
    kwargs = dict(train_cfg=ITERS, sampler='InfiniteSampler', workers=1)
    seen = trained(tmp_path, stop=3, hooks=hooks, **kwargs).model.seen
    assert len(seen) == 3
    assert all((images >= 1000).all() for images in seen)


def test_samples_of_an_iteration_and_of_epochs_differ(tmp_path):
    """Nothing is seeded twice: noise never repeats, in an epoch or between epochs."""
    seen = torch.cat(trained(tmp_path, workers=1).model.seen)
    noise = seen % 4
    assert len(noise.unique(dim=0)) == len(noise) == 27
