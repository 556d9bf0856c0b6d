"""Check a run before it starts: data, model, weights, schedule and work dir."""

import copy
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdet.models.dense_heads import GARPNHead, RPNHead
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from ..classification import Classifier
from ..errors import ConfigError, listed
from .cli import make_output_dir, warn
from .coco_check import check_annotations, check_files, class_names, find_datasets, reads_coco
from .weight_check import check_pretrained, check_start, load_weights

# What each launcher calls a process's number, and how many there are.
_RANKS = {'pytorch': 'RANK', 'slurm': 'SLURM_PROCID', 'mpi': 'OMPI_COMM_WORLD_RANK'}
_SIZES = {'pytorch': 'WORLD_SIZE', 'slurm': 'SLURM_NTASKS', 'mpi': 'OMPI_COMM_WORLD_SIZE'}
# Images, the size that YOLOX draws, and statistics that some heads adapt to.
_KEEPS_STATE = r'\b(?:Cached\w+|BatchSyncRandomResize|DynamicRoIHead|DDODHead)\b'
_HEADS = r'(bbox_head|mask_head|mask_iou_head)(\.\d+)?$'


def check_run(cfg: Config, loops: tuple[str, ...], checkpoint: str | Path | None = None) -> None:
    """Check what would stop a run later or spoil it in silence, in the first of its processes.

    Args:
        cfg: The run's config. ``check_annotations=False`` leaves annotation files unread.
        loops: Of ``'train'``, ``'val'`` and ``'test'``, those that will run.
        checkpoint: The checkpoint to test. What training loads is in the config.

    Raises:
        ConfigError: With the value, what was expected and the fix.
    """
    if os.environ.get(_RANKS.get(cfg.get('launcher', ''), ''), '0') != '0':
        return
    # Training needs no validation.
    loops = tuple(loop for loop in loops if loop != 'val' or cfg.get('val_dataloader'))
    check_files(cfg, loops)
    model = check_model(cfg, loops)
    if 'train' in loops:
        check_pretrained(model)
        check_start(cfg, model)
        warn_of_schedule(cfg)
        warn_of_batch_size(cfg)
        # Hooks may switch the pipeline.
        text = f'{cfg.train_dataloader} {cfg.get("custom_hooks")} {cfg.model}'
        if found := dict.fromkeys(re.findall(_KEEPS_STATE, text)):
            warn(
                f'{", ".join(found)} keeps what earlier iterations left, which checkpoints do not '
                'hold: a run that is resumed will not be bitwise the one that never stopped'
            )
    elif checkpoint is not None and '://' not in str(checkpoint):
        load_weights(model, checkpoint)
    check_annotations(cfg, loops)
    if cfg.get('work_dir'):
        make_output_dir(cfg.work_dir, '--work-dir')


def check_data(cfg: Config, loops: tuple[str, ...]) -> None:
    """Raise ConfigError if the data of some loops are missing or do not fit the config."""
    check_files(cfg, loops)
    check_annotations(cfg, loops)


def check_model(cfg: Config, loops: tuple[str, ...] = ()) -> Any:
    """Build a config's model on the CPU, to predict the classes of the data sets of some loops.

    Its weights are not initialised.

    Raises:
        ConfigError: If an option is unknown or out of range, or ``num_classes`` is not theirs, or
            if a classifier's data sets have different classes.
    """
    init_default_scope(cfg.get('default_scope') or 'mmdet')
    model = MODELS.build(copy.deepcopy(cfg.model))
    named: dict[str, Sequence[str]] = {}  # classes of a classifier's data sets
    for loop in loops if cfg.get('check_annotations', True) else ():
        for key, dataset in find_datasets(cfg, loop).items():
            _check_num_classes(model, key, dataset)
            if isinstance(model, Classifier) and dataset is not None:
                named[key] = dataset.metainfo.get('classes', [])
    for key, classes in named.items():
        first, expected = next(iter(named.items()))
        pairs = zip(classes, expected, strict=False)  # a user's own data set may name none
        if other := next((pair for pair in pairs if pair[0] != pair[1]), None):
            raise ConfigError(
                f'{key} has the class {other[0]!r} where {first} has {other[1]!r}: labels count '
                'classes, so set metainfo.classes of both to the same list '
                '(check_annotations=False if they mean the same)'
            )
    return model


def _check_num_classes(model: Any, key: str, dataset: Any) -> None:
    numbers = {}
    if isinstance(model, Classifier) and dataset is not None:
        dataset.full_init()  # classes are folders
        if 'classes' in dataset.metainfo:
            numbers['model.num_classes'] = model.num_classes
    elif reads_coco(dataset) and not dataset.return_classes:  # then, classes are texts
        for name, module in model.named_modules():
            knows_object = isinstance(module, (RPNHead, GARPNHead))  # and nothing else
            number = getattr(module, 'num_classes', None)
            if re.search(_HEADS, name) and isinstance(number, int) and not knows_object:
                numbers[f'model.{name}.num_classes'] = number
    classes = class_names(dataset) if numbers else []
    if any(number != len(classes) for number in numbers.values()):
        said = ', '.join(f'{name}={number}' for name, number in numbers.items())
        raise ConfigError(
            f'{said}, but {key} has {len(classes)} classes ({listed(classes, 4)}): set num_classes '
            f'to {len(classes)} in all heads, or metainfo.classes to what they predict '
            '(check_annotations=False if they are merged)'
        )


def warn_of_schedule(cfg: Config) -> None:
    """Warn of learning rates whose schedule ends before or after training does.

    ``param_scheduler`` does not follow ``train_cfg.max_epochs``: a run of 2 epochs that inherits a
    schedule of 120 trains at the highest learning rate to its end.
    """
    schedules = cfg.get('param_scheduler') or []
    schedules = [schedules] if isinstance(schedules, Mapping) else schedules
    for index, schedule in enumerate(schedules):
        unit = 'epoch' if schedule.get('by_epoch', True) else 'iter'
        length = (cfg.get('train_cfg') or {}).get(f'max_{unit}s') or 0
        period = schedule.get('begin', 0) + schedule['T_max'] if schedule.get('T_max') else 0
        end, kind = schedule.get('end') or period, str(schedule.get('type'))
        last = max(end, period, *schedule.get('milestones', ()))
        lasts = schedule is not schedules[-1] or re.search('Warmup|LinearLR|ConstantLR', kind)
        if length and (last > length or (0 < end < length and not lasts)):
            warn(
                f'param_scheduler.{index} ({kind}) ends at {unit} {last}, but training at {length} '
                f'(train_cfg.max_{unit}s): change end, T_max or milestones together with it'
            )


def warn_of_batch_size(cfg: Config) -> None:
    """Warn of a learning rate that is for steps of more or fewer images than the run's."""
    scaling = cfg.get('auto_scale_lr') or {}
    base = scaling.get('base_batch_size')
    processes = int(os.environ.get(_SIZES.get(cfg.get('launcher', ''), ''), 1))
    counts = (cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)
    images = (cfg.train_dataloader.get('batch_size') or 0) * processes * counts
    if base and counts > 1 and scaling.get('enable'):
        warn(
            f'--auto-scale-lr knows nothing of accumulative_counts={counts}, so the learning rate '
            f'is {counts} times too low for {images} images a step: leave it out, and set lr'
        )
    elif base and images and images != base and not scaling.get('enable'):
        warn(
            f'a step has {images} images (train_dataloader.batch_size x {processes} processes x '
            f'accumulative_counts={counts}), but the learning rate is for {base} '
            '(auto_scale_lr.base_batch_size): '
            + ('add --auto-scale-lr, or ' if counts == 1 else '')  # which knows of no counts
            + f'set both to what suits {images}'
        )
