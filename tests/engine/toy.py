"""A run of mmengine that takes milliseconds, with random draws wherever a run may have them."""

import random
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import BatchSampler, Dataset

import mmgradaug.engine.hooks  # noqa: F401  registers them
from tests.engine.killing import differences


class Stopped(Exception):
    """Ends a run in the middle."""


class NoisyData(Dataset):
    """Ten samples, augmented by every generator there is."""

    metainfo: dict[str, Any] = {}
    offset = 0

    def __len__(self) -> int:
        return 10

    def get_data_info(self, index: int) -> dict[str, int]:
        return {'width': index % 2, 'height': 1}

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        noise = torch.rand(3) + np.random.rand() + random.random()
        return {'inputs': 4 * index + noise + self.offset}


class ToyModel(BaseModel):
    """A layer, BatchNorm with its statistics, and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.ReLU())

    def forward(self, inputs: Any, mode: str = 'tensor') -> Any:
        images = torch.stack(list(inputs))
        if mode == 'loss':
            self.seen.append(images)
            return {'loss': (self.layers(images) - torch.rand(4)).square().mean()}
        return [self.layers(images).mean()]


class Improving(BaseMetric):
    """A score that rises with every epoch; the run ends in validating epoch ``stop``, from 0."""

    def __init__(self, stop: int | None = None) -> None:
        super().__init__()
        self.stop = stop

    def process(self, data_batch: Any, data_samples: Any) -> None:
        epoch = MessageHub.get_current_instance().get_info('epoch')
        if epoch == self.stop:
            raise Stopped
        self.results.append(epoch)

    def compute_metrics(self, results: list) -> dict[str, float]:
        return {'score': 1.0 + results[0]}


def validation(stop: int | None = None) -> dict[str, Any]:
    """Options of a run that validates after each epoch, and keeps the last and the best one."""
    sampler = dict(type='DefaultSampler', shuffle=False)
    return dict(
        val_cfg=dict(),
        val_dataloader=dict(dataset=NoisyData(), sampler=sampler),
        val_evaluator=Evaluator(Improving(stop)),
        checkpoint=dict(save_best='score', rule='greater', max_keep_ckpts=1),
    )


class StopHook(Hook):
    """Ends the run before an iteration."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def before_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        if runner.iter == self.iteration:
            raise Stopped


def runner(
    work_dir: Path,
    stop: int | None = None,
    workers: int = 0,
    persistent: bool = False,
    train_cfg: dict | None = None,
    sampler: str = 'DefaultSampler',
    batch_sampler: type = BatchSampler,
    checkpoint: dict | None = None,
    optim: dict | None = None,
    scheduler: dict | None = None,
    hooks: tuple = (),
    seed: int | None = 3,
    **kwargs: Any,
) -> Runner:
    """Build a run of three epochs of three batches; a tenth sample is left out."""
    torch.manual_seed(0)
    return Runner(
        ToyModel(),
        str(work_dir),
        train_dataloader=dict(
            dataset=NoisyData(),
            sampler=dict(type=sampler, shuffle=True),
            batch_sampler=dict(type=batch_sampler, drop_last=True),
            batch_size=3,
            num_workers=workers,
            persistent_workers=persistent,
            collate_fn=dict(type='pseudo_collate'),
        ),
        train_cfg=train_cfg or dict(by_epoch=True, max_epochs=3),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9), **(optim or {})),
        param_scheduler=scheduler or dict(type='ExponentialLR', gamma=0.9, by_epoch=False),
        default_hooks=dict(
            sampler_seed=dict(type='ReproducibleHook'),
            checkpoint=dict(type='SafeCheckpointHook', interval=1) | (checkpoint or {}),
            pending_validation=dict(type='PendingValidationHook'),
            logger=None,
        ),
        custom_hooks=[*hooks, *([] if stop is None else [StopHook(stop)])],
        randomness=dict(seed=seed),
        experiment_name=f'{work_dir.name}-{uuid.uuid4()}',
        log_level='WARNING',
        **kwargs,
    )


def trained(work_dir: Path, **kwargs: Any) -> Runner:
    """A run to its end, or until it stops."""
    run = runner(work_dir, **kwargs)
    with suppress(Stopped):
        run.train()
    return run


def assert_same(one: Runner, other: Runner) -> None:
    """Assert that two runs ended in the same state, bit by bit: in all that training changes."""
    states = []
    for run in (one, other):
        schedules = [scheduler.state_dict() for scheduler in run.param_schedulers]
        states.append([{**run.model.state_dict()}, run.optim_wrapper.state_dict(), schedules])
    assert differences(*states) == []
