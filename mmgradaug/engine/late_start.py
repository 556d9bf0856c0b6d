"""Data loading that starts with the first batch asked for, whichever mmengine runs the loop.

The original mmengine (0.10.7) iterates the loader when it builds a loop by iterations. Its data
workers have then copied the data set, and drawn their first batches from the sampler, before any
hook could number the batches or check the images.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from mmengine.registry import DATA_SAMPLERS
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch.utils.data import BatchSampler, DataLoader


class LateIterator:
    """Iterates a loader, from the first batch that is asked for."""

    def __init__(self, loader: DataLoader) -> None:
        self._loader = loader
        self._iterator: Any = None

    def __iter__(self) -> LateIterator:
        return self

    def __next__(self) -> Any:
        if self._iterator is None:
            self._iterator = iter(self._loader)
        return next(self._iterator)


def start_late(runner: Any) -> None:
    """Take back what a loop by iterations has loaded before hooks run.

    Where loading has not started, as with the maintained mmengine, this does nothing.

    Args:
        runner: A runner that has built its training loop and not trained yet.
    """
    batches = getattr(runner.train_loop, 'dataloader_iterator', None)
    if not isinstance(batches, _InfiniteDataloaderIterator) or batches._iterator is None:
        return
    loader = runner.train_dataloader
    if loader.num_workers:
        _renew_samplers(loader, runner._train_dataloader)
    loader._iterator = None  # persistent workers; both gone, they stop
    batches._iterator = LateIterator(loader)


def _renew_samplers(loader: DataLoader, cfg: Any) -> None:
    """Build the samplers again: some go on from where workers drew, whoever iterates them next.

    Args:
        loader: The loader, changed in place.
        cfg: Its config. A loader or samplers that were given as objects stay as they are.
    """
    if not isinstance(cfg, Mapping) or not isinstance(cfg.get('sampler'), Mapping):
        return
    batch_sampler, kind = loader.batch_sampler, cfg.get('batch_sampler')
    old = loader.sampler if kind is None else getattr(batch_sampler, 'sampler', None)
    options = {'dataset': loader.dataset, 'seed': getattr(old, 'seed', None)}
    sampler = DATA_SAMPLERS.build(copy.deepcopy(cfg['sampler']), default_args=options)
    if isinstance(kind, Mapping):
        options = {'sampler': sampler, 'batch_size': cfg['batch_size']}
        batch_sampler = DATA_SAMPLERS.build(copy.deepcopy(kind), default_args=options)
    elif kind is None and batch_sampler is not None and loader.batch_size is not None:
        batch_sampler = BatchSampler(sampler, loader.batch_size, loader.drop_last)
    # DataLoader refuses to set these, since iterators keep the old ones: the only one is gone.
    if kind is None:
        object.__setattr__(loader, 'sampler', sampler)
    object.__setattr__(loader, 'batch_sampler', batch_sampler)
