"""A run that was killed and resumed is, bit by bit, the run that was never killed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import signature
from itertools import chain, count
from typing import Any

import numpy as np
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_rank
from mmengine.hooks import DistSamplerSeedHook
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop
from torch.utils.data import DataLoader

META_KEY = 'data_order'  # of a checkpoint's `meta`
STEP, SAMPLE, DRAW = 0, 1, 2  # first numbers of the keys: what the draws are for
# Options of a data loader that one of other batches does not take over.
OF_BATCHES = {'dataset', 'batch_size', 'shuffle', 'sampler', 'batch_sampler', 'drop_last'}


def seed_generators(*key: int) -> None:
    """Seed the global generators of Python, NumPy and torch (all devices) from whole numbers >= 0.

    Keys that differ in one number give unrelated streams.
    """
    words = np.random.SeedSequence(key).generate_state(6)
    random.seed(int(words[0]) << 32 | int(words[1]))
    np.random.seed(words[2:4])
    torch.manual_seed(int(words[4]) << 32 | int(words[5]))


@dataclass
class SeededBatch:
    """Indices of a batch's samples; iterating over them seeds the generators before each.

    torch loads the samples in a loop over it, in a worker process or in this one. So what a sample
    draws depends on its place in the run alone. ``key`` numbers the run, the process and the batch.
    """

    indices: list
    key: tuple[int, ...]

    def __iter__(self) -> Iterator[Any]:
        for place, index in enumerate(self.indices):
            seed_generators(SAMPLE, *self.key, place)
            yield index


class SeededBatchSampler:
    """Numbers the batches of another batch sampler through the whole run.

    Worker processes draw ahead of the training loop, each its share of the batches, so neither
    the loop's iteration nor a worker's own count tells which batch it is. ``endless`` starts again
    at the end, for loops without epochs.
    """

    def __init__(self, batches: Any, key: tuple[int, ...], endless: bool) -> None:
        self.batches, self.key, self.endless = batches, key, endless
        self.sampler = batches.sampler  # where hooks look for it
        self.number = 0  # of the next batch
        self.skip = 0  # batches to leave out, uncounted, when it is iterated next

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[SeededBatch]:
        first, skip = self.number - self.skip, self.skip
        self.skip, drawn = 0, self._drawn()
        for place in count():
            # mmdet's GroupMultiSourceSampler, for one, draws from the global generators.
            seed_generators(DRAW, *self.key, first + place)
            if (indices := next(drawn, None)) is None:
                return
            if place >= skip:
                self.number += 1
                yield SeededBatch(indices, (*self.key, self.number - 1))

    def _drawn(self) -> Iterator[list]:
        for passes in count() if self.endless and len(self) else [0]:
            if passes and hasattr(self.sampler, 'set_epoch'):
                self.sampler.set_epoch(passes)
            yield from self.batches


class LateIterator:
    """Iterates a loader in place of mmengine's loop by iterations, from the first batch it needs.

    Until then hooks can change the data set, and a resumed run skips batches unloaded.
    """

    def __init__(self, loader: DataLoader) -> None:
        self.loader, self.drawn = loader, chain(loader)  # which calls `iter` in the first `next`

    def __next__(self) -> Any:
        return next(self.drawn)

    def skip_iter(self, number: int) -> None:
        """Start with a later batch, in mmengine's later versions (others load and skip)."""
        batches: Any = self.loader.batch_sampler
        batches.skip = batches.number = number


@HOOKS.register_module()
class ReproducibleHook(DistSamplerSeedHook):
    """Seeds every iteration and every sample by its place in the run, and resumes between epochs.

    mmengine's checkpoints hold no state of random generators, nor could they: worker processes
    have their own, ahead of the training loop. So nothing is saved. Iteration ``i`` of process
    ``r`` starts from generators seeded by (seed, r, i), sample ``j`` of its batch is loaded by
    generators seeded by (seed, r, i, j). It takes the place of ``DistSamplerSeedHook``, whose
    work it does too.

    What mmengine forgets besides is kept: the seed of the data order where the config names
    none, and how far into an epoch a checkpoint by iterations was written. Gradients that wait
    for more batches are not: save at multiples of ``accumulative_counts``; mmengine warns.
    """

    # First in line: the draws of other hooks belong to the iteration too, and checkpoints are
    # written after it has counted.
    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._done = 0  # batches of this epoch
        self._resumed: dict[str, Any] = {}

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Keep what a checkpoint says for when the run starts, if it is resumed."""
        if runner._resume:
            self._resumed = dict(checkpoint.get('meta', {}).get(META_KEY) or {})

    def before_train(self, runner: Any) -> None:
        """Make the loop's data loader number its batches."""
        loop, loader = runner.train_loop, runner.train_dataloader
        sampler = loader.batch_sampler.sampler
        # Built before the checkpoint was read, with another seed where the config names none.
        if self._resumed.get('sampler_seed') is not None and hasattr(sampler, 'seed'):
            sampler.seed = self._resumed['sampler_seed']
        if isinstance(sampler, InfiniteSampler):
            # mmengine 0.10.7 has drawn from it for the data workers, which go with their loader.
            sampler.indices = sampler._indices_of_rank()
            for bucket in getattr(loader.batch_sampler, '_aspect_ratio_buckets', ()):
                bucket.clear()
        by_epoch = not isinstance(loop, IterBasedTrainLoop)  # a user's own, too
        key = (runner.seed, get_rank())
        batches: Any = SeededBatchSampler(loader.batch_sampler, key, endless=not by_epoch)
        kept = signature(DataLoader).parameters.keys() - OF_BATCHES
        options = {name: getattr(loader, name) for name in kept}
        loop.dataloader = DataLoader(loader.dataset, batch_sampler=batches, **options)
        if not by_epoch:
            loop.dataloader_iterator = LateIterator(loop.dataloader)

    def before_train_epoch(self, runner: Any) -> None:
        """Start an epoch's numbers where the run stands."""
        super().before_train_epoch(runner)
        loop, batches = runner.train_loop, runner.train_dataloader.batch_sampler
        by_epoch = not isinstance(loop, IterBasedTrainLoop)
        if by_epoch or getattr(loop, 'fast_forward_on_resume', False):
            batches.number = runner.iter
        if by_epoch:
            batches.skip = self._done = self._resumed.pop('batches_done', 0)

    def before_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Seed what the model draws, such as the RoIs it samples."""
        seed_generators(STEP, runner.seed, get_rank(), runner.iter)

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Count a batch of the epoch."""
        self._done += 1

    def after_train_epoch(self, runner: Any) -> None:
        """Count from nothing again."""
        self._done = 0

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Add what a resume needs and mmengine forgets."""
        sampler = runner.train_dataloader.batch_sampler.sampler
        checkpoint['meta'][META_KEY] = {
            'sampler_seed': getattr(sampler, 'seed', None),
            'batches_done': self._done,
        }
