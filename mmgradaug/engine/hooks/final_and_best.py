"""The final epoch's metric and the best epoch's, told apart.

The paper reports the final epoch. The best one is chosen by the images it is measured on, so it
looks better than it is.
"""

import json
from math import inf
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop

from ..atomic import write_atomically

HISTORY = 'metrics_by_step'  # in the message hub, which checkpoints hold
FILE = 'final_and_best.json'


@HOOKS.register_module()
class FinalAndBestHook(Hook):
    """Writes the final and the best value of a metric to the work dir.

    After each validation ``final_and_best.json`` holds the metrics of the newest and of the best
    epoch (iteration, in runs without epochs) so far. Those before a resume count.

    Args:
        metric: Name of the metric, of which more is better; epochs without it are not the best.
    """

    # Before the hook that writes the best checkpoint, and with it what is kept here.
    priority = 'LOW'

    def __init__(self, metric: str = 'accuracy/top1') -> None:
        self.metric = metric

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Keep the metrics of a validation."""
        epochs = isinstance(runner.train_loop, EpochBasedTrainLoop)
        step = runner.epoch if epochs else runner.iter
        history = {**runner.message_hub.runtime_info.get(HISTORY, {}), step: dict(metrics or {})}
        runner.message_hub.update_info(HISTORY, history)
        if is_main_process():
            best = max(sorted(history), key=lambda step: history[step].get(self.metric, -inf))
            found = {
                'unit': 'epoch' if epochs else 'iteration',
                'final': {'step': step, **history[step]},
                'best': {'step': best, **history[best]},
            }
            text = json.dumps(found, indent=2) + '\n'
            write_atomically(text.encode(), Path(runner.work_dir, FILE))
