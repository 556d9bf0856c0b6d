"""Check a run before it starts: data, model, weights, schedule and work dir."""

from __future__ import annotations

import copy
import os
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdet.models.backbones import ResNet, ResNetV1d, ResNeXt
from mmdet.models.dense_heads import RPNHead
from mmengine.config import Config
from mmengine.model import PretrainedInit
from mmengine.registry import MODELS, WEIGHT_INITIALIZERS, init_default_scope
from mmengine.runner import CheckpointLoader, find_latest_checkpoint
from torch import nn

from ..backbones.mixin import SlimmableMixin
from ..classification import Classifier
from ..errors import ConfigError
from ..type_names import builds
from .checkpoint_loading import is_damaged, load_checkpoint, weights_of
from .cli import make_output_dir, warn
from .coco_check import check_annotations, check_files, find_datasets, listed, reads_coco

_RANKS = {'pytorch': 'RANK', 'slurm': 'SLURM_PROCID', 'mpi': 'OMPI_COMM_WORLD_RANK'}
_HEADS = r'(bbox_head|mask_head|mask_iou_head)(\.\d+)?$'
# Plugins and offsets of deformable convolutions, which files of plain networks lack.
_ADDED = r'conv_offset|context_block|gen_attention_block|num_batches_tracked'


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
    check_files(cfg, loops)
    model = check_model(cfg, loops)
    if 'train' in loops:
        check_pretrained(model)
        _check_start(cfg, model)
        warn_of_schedule(cfg)
    elif checkpoint is not None:
        check_weights(model, checkpoint)
    check_annotations(cfg, loops)
    if cfg.get('work_dir'):
        make_output_dir(cfg.work_dir, '--work-dir')


def check_data(cfg: Config, loops: tuple[str, ...]) -> None:
    """Check that the data of some loops are there and fit the config.

    Raises:
        ConfigError: If not.
    """
    check_files(cfg, loops)
    check_annotations(cfg, loops)


def check_model(cfg: Config, loops: tuple[str, ...] = ()) -> Any:
    """Build a config's model on the CPU, its weights not initialised.

    Args:
        cfg: The config.
        loops: Loops of whose data sets the model has to predict the classes.

    Raises:
        ConfigError: If an option of the model is unknown or out of its range, or ``num_classes``
            of a head is not the number of classes.
    """
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    model = MODELS.build(copy.deepcopy(cfg.model))
    for loop in loops:
        for key, dataset in find_datasets(cfg, loop).items():
            _check_num_classes(model, key, dataset)
    return model


def _check_num_classes(model: Any, key: str, dataset: Any) -> None:
    heads = []
    if isinstance(model, Classifier) and dataset is not None:
        dataset.full_init()  # classes are folders
        heads = [('model', model)]
    elif reads_coco(dataset) and not dataset.return_classes:  # then, classes are texts
        modules = model.named_modules()
        heads = [(f'model.{n}', m) for n, m in modules if re.search(_HEADS, n)]
    numbers = {
        f'{name}.num_classes': head.num_classes
        for name, head in heads
        if isinstance(getattr(head, 'num_classes', None), int)
        and not isinstance(head, RPNHead)  # which knows "object"
    }
    classes = dataset.metainfo['classes'] if numbers else ()
    if any(number != len(classes) for number in numbers.values()):
        said = ', '.join(f'{name}={number}' for name, number in numbers.items())
        raise ConfigError(
            f'{said}, but {key} has {len(classes)} classes ({listed(classes, 4)}): set num_classes '
            f'to {len(classes)} in all heads, or metainfo.classes to what they predict'
        )


def check_pretrained(model: nn.Module) -> None:
    """Check the files that ``init_cfg=dict(type='Pretrained', ...)`` of a model's parts names.

    mmengine only warns where keys do not match, and a backbone trains from random weights for
    hours. Networks of other kinds than ResNets have loaders of their own and are not compared.

    Raises:
        ConfigError: If a file is missing, or of another network than the backbone or teacher.
    """
    parts = dict(model.named_modules())
    if getattr(model, 'teacher', None) is not None:
        parts['teacher.network'] = model.teacher.network  # type: ignore[union-attr, assignment]
    for name, part in parts.items():
        init_cfg: Any = getattr(part, 'init_cfg', None)
        for entry in init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]:
            if not builds(entry, PretrainedInit, WEIGHT_INITIALIZERS):
                continue
            path, key = entry['checkpoint'], f'model.{name}.init_cfg'
            if '://' not in path and not Path(path).expanduser().is_file():
                raise ConfigError(
                    f'no pretrained weights at {Path(path).absolute()} ({key}.checkpoint): put the '
                    f'file there, or set {key}.checkpoint to one that you have, '
                    f"'torchvision://resnet50' say, or {key} to None"
                )
            plain = type(part) in (ResNet, ResNetV1d, ResNeXt) or isinstance(part, SlimmableMixin)
            if name == 'teacher.network' or (name == 'backbone' and plain):
                loaded = CheckpointLoader.load_checkpoint(path, 'cpu')
                _compare(part, loaded, f'{path} ({key})', entry.get('prefix', ''))


def _check_start(cfg: Config, model: Any) -> None:
    """Check the local checkpoint that training resumes, or starts from: then heads may differ."""
    path = cfg.get('load_from')
    if cfg.get('resume') and not path:
        path = find_latest_checkpoint(cfg.work_dir)
        if path is None or is_damaged(path):
            return  # nothing to resume yet, or SafeCheckpointHook finds the newest that is whole
    if path and '://' not in path and cfg.get('resume'):
        check_weights(model, path)
    elif path and '://' not in path:
        _compare(model.backbone, load_checkpoint(path), f'{path} (load_from)', 'backbone')


def check_weights(model: nn.Module, path: str | Path) -> None:
    """Load a checkpoint into a model.

    Raises:
        ConfigError: If it is missing, damaged, holds code, or lacks weights of the model.
    """
    _compare(model, load_checkpoint(path), str(path))


def _compare(network: nn.Module, checkpoint: Any, source: str, prefix: str | None = None) -> None:
    """Load weights by torch's own rules, or raise if one is missing or of another shape.

    With a prefix, which may be empty, files of plain networks may lack what others add, and the
    first convolution may be for images of other channels, of which mmengine warns; but entries of
    parts that the network has must all be its own.
    """
    weights, exactly = weights_of(checkpoint), prefix is None
    if prefix:
        start = f'{prefix.removesuffix(".")}.'
        found = {k.removeprefix(start): v for k, v in weights.items() if k.startswith(start)}
        weights = OrderedDict(found)
    own, children = network.state_dict(), dict(network.named_children())
    wrong = [k for k, v in weights.items() if k in own and own[k].shape != v.shape]
    other = {key: weights.pop(key) for key in wrong}
    missing, unexpected = network.load_state_dict(weights, strict=False)
    first = next((key for key, value in own.items() if value.dim() == 4), '')
    if not exactly and first in other and own[first][:, 0].shape == other[first][:, 0].shape:
        del other[first]
    added = 'num_batches_tracked' if exactly else _ADDED
    misfits = {
        'missing': [k for k in missing if k not in wrong and not re.search(added, k)],
        'of another shape': list(other),
        'unexpected': [k for k in unexpected if k.split('.')[0] in children and not exactly],
    }
    told = '; '.join(f'{len(k)} {kind} ({listed(k, 3)})' for kind, k in misfits.items() if k)
    if told:
        raise ConfigError(
            f'{source} is of another network than {type(network).__name__}: {told}; use weights '
            "of this config, or, for the backbone of a whole model, prefix='backbone' in init_cfg"
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
        period = schedule.get('begin', 0) + schedule['T_max'] if 'T_max' in schedule else 0
        end, kind = schedule.get('end') or period, str(schedule.get('type'))
        last = max(end, period, *schedule.get('milestones', ()))
        lasts = schedule is not schedules[-1] or re.search('Warmup|LinearLR|ConstantLR', kind)
        if length and (last > length or (0 < end < length and not lasts)):
            warn(
                f'param_scheduler.{index} ({kind}) ends at {unit} {last}, but training at {length} '
                f'(train_cfg.max_{unit}s): change end, T_max or milestones together with it'
            )
