"""A validation that a killed run owed is done when the run is resumed."""

from __future__ import annotations

import bisect
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop

META_KEY = 'validation_due'  # of a checkpoint's `meta`


@HOOKS.register_module()
class PendingValidationHook(Hook):
    """Validates first if a checkpoint was written between training and its validation.

    mmengine writes checkpoints before it validates and does not validate after a resume. So a
    run that died meanwhile would lose a metric, perhaps its best checkpoint, and a step of a
    scheduler that follows metrics, which its weights depend on. What died after the validation
    and before the next checkpoint validates again, with the same result.
    """

    priority = 'LOWEST'  # when it starts, other hooks have to be ready

    _due = False
    _validated = False

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Keep what a checkpoint says, if it is resumed."""
        self._due = runner._resume and checkpoint.get('meta', {}).get(META_KEY, False)

    def before_train(self, runner: Any) -> None:
        """Validate, if it is due."""
        if self._due and runner.val_loop is not None:
            # What metrics may look at still stands at the last iteration after training.
            runner.message_hub.update_info('iter', runner.iter - 1)
            if isinstance(runner.train_loop, EpochBasedTrainLoop):
                runner.message_hub.update_info('epoch', runner.epoch - 1)
            runner.val_loop.run()
        self._due = False

    def before_train_iter(self, *args: Any, **kwargs: Any) -> None:
        """Note that the weights change."""
        self._validated = False

    def before_val_epoch(self, runner: Any) -> None:
        """Note that these weights are being validated: checkpoints written from now on know it."""
        self._validated = True

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Say in the checkpoint whether its validation comes after it."""
        meta = checkpoint['meta']
        meta[META_KEY] = not self._validated and _validates_next(runner, meta)


def _validates_next(runner: Any, meta: dict) -> bool:
    """Whether the training loop validates right after this checkpoint."""
    loop = runner.train_loop
    if runner.val_loop is None:
        return False
    if isinstance(loop, EpochBasedTrainLoop):
        if meta['epoch'] == loop.epoch:  # within an epoch, whose end a resumed run comes to
            return False
        done, end = meta['epoch'], loop.max_epochs
    else:
        done, end = meta['iter'], loop.max_iters
    return done >= loop.val_begin and (done % _interval(loop, done) == 0 or done == end)


def _interval(loop: Any, done: int) -> int:
    """The interval by which a loop decides whether to validate after so many epochs or iterations.

    With ``dynamic_intervals`` the loop takes it from its table when it has counted, which is after
    checkpoints are written.
    """
    milestones = getattr(loop, 'dynamic_milestones', None)
    if not milestones:
        return loop.val_interval
    return loop.dynamic_intervals[bisect.bisect(milestones, done + 1) - 1]
