"""A validation that a killed run owed is done when the run is resumed."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop

META_KEY = 'validation_due'  # of a checkpoint's `meta`


def progress(loop: Any) -> tuple[str, int, int]:
    """Return what a training loop counts (``epoch`` or ``iter``), how many so far, of how many."""
    if isinstance(loop, EpochBasedTrainLoop):
        return 'epoch', loop.epoch, loop.max_epochs
    return 'iter', loop.iter, loop.max_iters


@HOOKS.register_module()
class PendingValidationHook(Hook):
    """Validates first if a checkpoint was written between training and its validation.

    mmengine writes checkpoints before it validates and does not validate after a resume. A run
    that died in between would lose a metric, perhaps its best checkpoint, and a step of a
    scheduler that follows the metric.
    """

    priority = 'LOWEST'  # when it starts, other hooks have to be ready

    _due = False
    _validated = False

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Keep what a checkpoint says, if it is resumed."""
        self._due = runner._resume and checkpoint.get('meta', {}).get(META_KEY, False)

    def before_train(self, runner: Any) -> None:
        """Validate, if it is due: as the loop does after an epoch or an iteration."""
        loop = runner.train_loop
        known = isinstance(loop, (EpochBasedTrainLoop, IterBasedTrainLoop))  # when they validate
        if not self._due or runner.val_loop is None or not known:
            return
        loop._decide_current_val_interval()
        unit, done, end = progress(loop)
        if done >= loop.val_begin and (done % loop.val_interval == 0 or done == end):
            # What metrics may look at still stands at the last iteration after training.
            runner.message_hub.update_info_dict({'iter': runner.iter - 1, unit: done - 1})
            runner.val_loop.run()

    def before_train_iter(self, *args: Any, **kwargs: Any) -> None:
        """Note that the weights change."""
        self._validated = False

    def before_val_epoch(self, runner: Any) -> None:
        """Note that these weights are being validated: checkpoints written from now on know it."""
        self._validated = True

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Say in the checkpoint whether its weights have still to be validated."""
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        # A run resumed within an epoch comes to its end by itself.
        within = by_epoch and checkpoint['meta']['epoch'] == runner.epoch
        checkpoint['meta'][META_KEY] = not self._validated and not within
