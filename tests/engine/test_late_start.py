"""Hooks come before the first sample, also where mmengine has begun to load."""

from types import SimpleNamespace

import pytest
from mmengine.dataset import DefaultSampler, InfiniteSampler, default_collate
from mmengine.hooks import Hook
from mmengine.registry import DATA_SAMPLERS
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch.utils.data import BatchSampler, DataLoader, Dataset

from mmgradaug.engine.late_start import start_late
from tests.engine.toy import trained

ITERS = dict(type='IterBasedTrainLoop', max_iters=3)


class Numbers(Dataset):
    """What it is asked for, and what was set on it."""

    offset = 0

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return index + self.offset


@DATA_SAMPLERS.register_module()
class Pairs(BatchSampler):
    """A batch sampler that keeps what it has drawn, as mmdet's by aspect ratio do."""

    def __init__(self, sampler, batch_size):
        super().__init__(sampler, batch_size, drop_last=False)
        self.kept = []

    def __iter__(self):
        for index in self.sampler:
            self.kept.append(index)
            if len(self.kept) == self.batch_size:
                yield self.kept
                self.kept = []


def begun(cfg, sampler, batch_sampler=None, **options):
    """A runner whose loop has begun to load, as the original mmengine's does."""
    data, collate = Numbers(), default_collate
    sampler = sampler(data, shuffle=True, seed=4)
    if batch_sampler is None:
        loader = DataLoader(data, 2, sampler=sampler, collate_fn=collate, **options)
    else:
        own = batch_sampler(sampler, 2)
        loader = DataLoader(data, batch_sampler=own, collate_fn=collate, **options)
    batches = _InfiniteDataloaderIterator(loader)
    if batches._iterator is None:
        batches._iterator = iter(loader)
    loop = SimpleNamespace(dataloader_iterator=batches)
    cfg = dict(dataset=data, batch_size=2, **cfg)
    return SimpleNamespace(train_loop=loop, train_dataloader=loader, _train_dataloader=cfg)


@pytest.mark.parametrize(('classes', 'workers'), [
    ((InfiniteSampler,), dict()),
    ((InfiniteSampler,), dict(num_workers=1)),
    ((DefaultSampler,), dict(num_workers=1, persistent_workers=True)),
    ((InfiniteSampler, Pairs), dict(num_workers=1)),
])  # fmt: skip
def test_what_was_loaded_is_taken_back(classes, workers):
    names = [dict(type=cls.__name__) for cls in classes]
    names[0]['shuffle'] = True
    cfg = dict(zip(('sampler', 'batch_sampler'), names, strict=False))
    runner = begun(cfg, *classes, **workers)
    old = runner.train_loop.dataloader_iterator._iterator
    processes = list(getattr(old, '_workers', ()))
    start_late(runner)
    del old
    for process in processes:
        process.join(10)
        assert process.exitcode is not None  # none is left behind
    runner.train_dataloader.dataset.offset = 100  # as hooks do
    batches = runner.train_loop.dataloader_iterator
    seen = [next(batches).tolist() for _ in range(4)]
    expected = iter(classes[0](Numbers(), shuffle=True, seed=4))
    assert seen == [[100 + next(expected), 100 + next(expected)] for _ in range(4)]


class ChangeData(Hook):
    """Changes the data set as BadImagesHook does."""

    priority = 'LOWEST'

    def before_train_epoch(self, runner):
        dataset, load = runner.train_dataloader.dataset, type(runner.train_dataloader.dataset)
        dataset.__class__ = type('Changed', (load,), {'__getitem__': lambda *a: _shifted(load, *a)})


def _shifted(load, dataset, index):
    return {'inputs': load.__getitem__(dataset, index)['inputs'] + 1000}


@pytest.mark.parametrize('workers', [0, 1])
def test_hooks_reach_the_first_batch_of_a_run_by_iterations(tmp_path, workers):
    kwargs = dict(train_cfg=ITERS, sampler='InfiniteSampler', workers=workers)
    seen = trained(tmp_path, hooks=(ChangeData(),), **kwargs).model.seen
    assert len(seen) == 3
    assert all((images >= 1000).all() for images in seen)
