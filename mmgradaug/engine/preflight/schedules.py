"""Schedules of the learning rate that a run ends before: a shorter run keeps a long one's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

from ..errors import warn


def warn_of_cut_schedules(cfg: Config) -> None:
    """Warn of schedules that go on after the last epoch, or iteration, of a run.

    ``param_scheduler`` does not follow ``train_cfg.max_epochs``: a run of 2 epochs that inherits a
    schedule of 120 trains at the highest learning rate to its end.
    """
    loop = cfg.get('train_cfg')
    if not isinstance(loop, Mapping):
        return
    for unit in ('epochs', 'iters'):
        length = loop.get(f'max_{unit}')
        for key, kind, last in _last_steps(cfg.get('param_scheduler'), unit == 'epochs'):
            if isinstance(length, int) and 0 < length < last:
                warn(
                    f'{key} ({kind}) goes on to {unit[:-1]} {last}, but training ends after '
                    f'{length} (train_cfg.max_{unit}), before the learning rate has come down as '
                    'it should: change the schedule, such as T_max, end or milestones, together '
                    f'with max_{unit}'
                )


def _last_steps(schedulers: Any, by_epoch: bool) -> Iterator[tuple[str, str, int]]:
    """Keys, types and last steps of the schedules that count epochs, or iterations."""
    single = isinstance(schedulers, Mapping)
    for index, options in enumerate([schedulers] if single else schedulers or ()):
        if not isinstance(options, Mapping) or options.get('by_epoch', True) is not by_epoch:
            continue
        milestones = options.get('milestones')
        steps = [options.get('end')]
        if isinstance(options.get('T_max'), int):
            steps.append(options.get('begin', 0) + options['T_max'])
        if isinstance(milestones, (list, tuple)) and milestones:
            steps.append(max(milestones))
        known = [step for step in steps if isinstance(step, int)]
        if known:
            key = 'param_scheduler' if single else f'param_scheduler.{index}'
            yield key, str(options.get('type')), max(known)
