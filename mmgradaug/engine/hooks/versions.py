"""What a run says at its start: versions, passes of a step, and whether anything is left."""

import sys
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim.scheduler.param_scheduler import INF
from mmengine.registry import HOOKS

from ...training import GradAugMixin
from ..cli import warn
from .pending_validation import progress

PACKAGES = ('mmgradaug', 'mmdet', 'mmcv', 'mmengine', 'torch', 'torchvision', 'numpy')


@HOOKS.register_module()
class VersionsHook(Hook):
    """Logs the versions of the packages and how many passes a step has.

    mmengine's header lacks most versions. Gradients of passes add up, so their number belongs to
    the learning rate. Warns of a run that is finished, of a warm-up longer than the training, and
    of a user's own methods that a step with sub-networks does not call.
    """

    def before_run(self, runner: Any) -> None:
        """Log the versions, and the number of passes."""
        runner.logger.info('Versions: %s', ', '.join(f'{k} {v}' for k, v in versions().items()))
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        number = model.sampler.num_subnets if isinstance(model, GradAugMixin) else 0
        if number:
            subnets = f'{number} sub-network{"s" if number > 1 else ""}'
            runner.logger.info(
                f'{number + 1} passes per step: full network and {subnets}; their gradients add up'
            )
            # `gradaug_step` takes the place of both.
            train_step = super(GradAugMixin, model).train_step  # type: ignore[misc]
            for method in (train_step, runner.optim_wrapper.update_params):
                if method.__module__.split('.')[0] != 'mmengine':
                    runner.logger.warning(
                        f'{method.__qualname__} is not called: with sub-networks a step has '
                        'several backward passes, then one optim_wrapper.step()'
                    )

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Warn of a resumed run whose schedules are not those of the config: they stay."""
        saved = checkpoint.get('param_schedulers') if runner._resume else None
        for old, new in zip(saved or (), runner.param_schedulers or (), strict=False):
            for key in ('begin', 'end', 'T_max', 'milestones'):  # names: of several optimizers
                if not isinstance(old, str) and old.get(key) != getattr(new, key, None):
                    runner.logger.warning(
                        f'{type(new).__name__} of param_scheduler goes on as in the checkpoint, '
                        f'{key} {old.get(key)}, not {getattr(new, key)}, which is what the config '
                        'gives for these processes; a run that load_from starts has its own'
                    )

    def before_train(self, runner: Any) -> None:
        """Warn of a resumed run that has nothing left to do, and of a warm-up that is too long."""
        unit, done, end = progress(runner.train_loop)
        for schedule in runner.param_schedulers or ():  # names, where there are several optimizers
            iterations = 0 if getattr(schedule, 'by_epoch', True) else schedule.end
            if unit == 'epoch' and runner.max_iters < iterations < INF:
                runner.logger.warning(
                    f'{type(schedule).__name__} of param_scheduler ends at iteration {iterations}, '
                    f'but training at {runner.max_iters}: with a lower end the learning rate gets '
                    'where it is meant to be'
                )
        if done >= end and is_main_process():
            warn(
                f'the run in {runner.work_dir} is finished ({unit} {done} of {end}): nothing is '
                'left to train; to go on, start another run from its weights (load_from)'
            )


def versions() -> dict[str, str]:
    """Return the versions of the imported packages, as they tell them themselves."""
    found = {name: getattr(sys.modules.get(name), '__version__', None) for name in PACKAGES}
    return {name: str(version) for name, version in found.items() if version}
