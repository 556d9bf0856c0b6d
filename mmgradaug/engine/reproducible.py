"""A run that was killed and resumed is, bit by bit, the run that was never killed."""

from __future__ import annotations

from typing import Any

from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import DistSamplerSeedHook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop
from torch import nn
from torch.utils.data import IterableDataset

from .late_start import start_late
from .loading import NO_BATCH
from .seeding import STEP, NumberedBatches, number_batches, seed_generators

META_KEY = 'data_order'  # of a checkpoint's `meta`
GRADIENTS_KEY = 'accumulated_gradients'  # of a checkpoint


@HOOKS.register_module()
class ReproducibleHook(DistSamplerSeedHook):
    """Seeds every iteration and every sample by its place in the run, and resumes between epochs.

    mmengine's checkpoints hold no state of random generators, nor could they: worker processes
    have their own, ahead of the training loop. So nothing is saved. Iteration ``i`` of process
    ``r`` starts from generators seeded by (seed, r, i), sample ``j`` of its batch is loaded by
    generators seeded by (seed, r, i, j). It takes the place of ``DistSamplerSeedHook``, whose
    work it does too.

    What mmengine forgets besides is kept: the seed of the data order where the config names
    none; how far into an epoch a checkpoint by iterations was written; gradients that wait for
    more batches (``accumulative_counts``) in a run of one process.
    """

    # First in line: the draws of other hooks belong to the iteration too, and checkpoints are
    # written after it has counted.
    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._batches: NumberedBatches | None = None
        self._done = 0  # batches of this epoch
        self._resumed: dict[str, Any] = {}
        self._gradients: dict[str, Any] = {}

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Keep what a checkpoint says for when the run starts, if it is resumed."""
        if runner._resume:
            self._resumed = dict(checkpoint.get('meta', {}).get(META_KEY) or {})
            self._gradients = dict(checkpoint.get(GRADIENTS_KEY) or {})

    def before_train(self, runner: Any) -> None:
        """Number the batches and put back what was resumed.

        Raises:
            ValueError: If there is nothing to train on.
        """
        start_late(runner)
        loader = runner.train_dataloader
        _require_batches(loader, isinstance(runner.train_loop, EpochBasedTrainLoop))
        sampler = _sampler_of(loader)
        # Built before the checkpoint was read, with another seed where the config names none.
        if self._resumed.get('sampler_seed') is not None and hasattr(sampler, 'seed'):
            sampler.seed = self._resumed['sampler_seed']
        self._batches = number_batches(loader, (runner.seed, get_rank()))
        if self._batches is None:
            runner.logger.warning(
                f'{type(loader.dataset).__name__} is not loaded by batches of indices: random '
                'draws of its samples will differ after a resume'
            )
        elif hasattr(sampler, 'skip'):
            _follow_skips(sampler, self._batches)
        _restore_gradients(_unwrapped(runner), self._gradients)

    def before_train_epoch(self, runner: Any) -> None:
        """Start an epoch's numbers where the run stands."""
        super().before_train_epoch(runner)
        self._done = self._batches_to_skip(runner)
        if self._batches is None:
            return
        loop = runner.train_loop
        epochs = isinstance(loop, EpochBasedTrainLoop)
        # A loop without epochs skips the batches itself, and they count.
        skips = not epochs and not getattr(loop, 'fast_forward_on_resume', False)
        self._batches.number = 0 if skips else runner.iter
        self._batches.skip = self._done

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
        loader = runner.train_dataloader
        epochs = isinstance(runner.train_loop, EpochBasedTrainLoop)
        checkpoint['meta'][META_KEY] = {
            'sampler_seed': getattr(_sampler_of(loader), 'seed', None),
            'batches_done': self._done if epochs else 0,
            'batches_an_epoch': len(loader) if epochs else 0,
        }
        gradients = _gradients_of(_unwrapped(runner)) if 'optimizer' in checkpoint else {}
        if gradients and get_world_size() > 1:
            runner.logger.warning(
                'this checkpoint is written between two optimizer steps: the gradients that '
                'processes have accumulated since the last are not in it, and a run resumed from '
                'it does without them. Save at multiples of accumulative_counts'
            )
        elif gradients:
            checkpoint[GRADIENTS_KEY] = gradients

    def _batches_to_skip(self, runner: Any) -> int:
        """Batches of a resumed epoch that the checkpoint has seen; once."""
        done = self._resumed.pop('batches_done', 0)
        if not done or not isinstance(runner.train_loop, EpochBasedTrainLoop):
            return 0
        length, before = len(runner.train_dataloader), self._resumed.get('batches_an_epoch')
        if length == before:
            return done
        runner.logger.warning(
            f'the checkpoint was written {done} batches into an epoch of {before}, and an epoch '
            f'has {length} now: the epoch starts again'
        )
        return 0


def _require_batches(loader: Any, epochs: bool) -> None:
    """Raise if a loader is empty: epochs would end at once, endless samplers never give a batch."""
    if isinstance(loader.dataset, IterableDataset):
        return  # nobody knows
    if not len(loader.dataset) or (epochs and not len(loader)):
        raise ValueError(f'train_dataloader: {NO_BATCH}')


def _sampler_of(loader: Any) -> Any:
    """The sampler that draws the order: of the loader, or of its batch sampler."""
    of_batches = getattr(loader.batch_sampler, 'sampler', None)
    return loader.sampler if hasattr(loader.sampler, 'seed') else of_batches


def _follow_skips(sampler: Any, batches: NumberedBatches) -> None:
    """Count the batches that a loop without epochs skips by its sampler, none of them drawn."""
    skip = sampler.skip

    def counted_skip(num_samples: int) -> None:
        skip(num_samples)
        batches.number = num_samples // batches.batch_size

    sampler.skip = counted_skip


def _unwrapped(runner: Any) -> nn.Module:
    """The model that a checkpoint holds."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def _gradients_of(model: nn.Module) -> dict[str, Any]:
    """Gradients that no optimizer step has used yet, by parameter; none between steps."""
    gradients = {name: p.grad for name, p in model.named_parameters()}
    return {name: grad.detach().cpu() for name, grad in gradients.items() if grad is not None}


def _restore_gradients(model: nn.Module, gradients: dict[str, Any]) -> None:
    """Put gradients back to where they were."""
    for name, parameter in model.named_parameters():
        if name in gradients:
            parameter.grad = gradients[name].to(parameter)
    gradients.clear()
