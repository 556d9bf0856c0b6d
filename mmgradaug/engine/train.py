"""Train and test by command lines like those of mmdet's own scripts: a config in, a Runner out."""

import argparse
import atexit
import os
import shlex
import sys
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from mmdet.engine.hooks import DetVisualizationHook
from mmdet.engine.hooks.utils import trigger_visualization_hook
from mmdet.evaluation import DumpDetResults
from mmdet.registry import HOOKS, RUNNERS
from mmdet.utils import setup_cache_size_limit_of_dynamo
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.dist import init_dist, is_distributed, is_main_process
from mmengine.hooks import CheckpointHook, DistSamplerSeedHook
from mmengine.registry import MODEL_WRAPPERS
from mmengine.runner import BaseLoop, Runner
from mmengine.utils.dl_utils import set_multi_processing

from ..errors import ConfigError
from ..training import GradAugDistributedDataParallel
from ..type_names import builds, class_of, type_name
from .checks import check_run
from .cli import is_gradaug, load_config, make_output_dir, one_line_errors, warn
from .coco_metric import exact_metrics
from .console import ShortRunner
from .hooks.checkpoint import POINTER
from .hooks.pending_validation import progress

# Where each launcher says which of this machine's processes one is.
_LOCAL_RANKS = dict(pytorch='LOCAL_RANK', slurm='SLURM_LOCALID', mpi='OMPI_COMM_WORLD_LOCAL_RANK')


@one_line_errors()
def train(args: argparse.Namespace) -> None:
    """Train as the command line of tools/train.py or tools/pretrain.py says."""
    cfg = _config_of(args)
    if args.amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.auto_scale_lr:
        if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
            raise ConfigError(
                '--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=N) in the config: the '
                'batch size that its learning rate is for'
            )
        cfg.auto_scale_lr.enable = True
    if args.resume not in (None, 'auto'):
        cfg.resume, cfg.load_from = True, args.resume
    elif args.resume:
        names = (POINTER, 'epoch_*.pth', 'iter_*.pth')
        found = any(any(Path(cfg.work_dir).glob(name)) for name in names)
        cfg.resume = found or not cfg.get('load_from')
        cfg.load_from = None if cfg.resume else cfg.load_from
    check_run(cfg, ('train', 'val'))
    runner, begun = build_runner(cfg), time.time()
    if args.resume and not cfg.resume and is_main_process():
        warn(f'nothing to resume in {cfg.work_dir}: training starts from {cfg.load_from}')
    try:
        runner.train()
    except KeyboardInterrupt:
        if is_main_process():
            _tell_stop(runner, begun, args)
        raise
    _leave_processes()


@one_line_errors()
def test(args: argparse.Namespace) -> None:
    """Test as the command line of tools/test.py says, or evaluate a classifier."""
    cfg = _config_of(args)
    if args.out:
        make_output_dir(Path(args.out).parent)
    check_run(cfg, ('test',), args.checkpoint)
    cfg.load_from, cfg.resume = args.checkpoint, False
    if args.show or args.show_dir:
        cfg = trigger_visualization_hook(cfg, args)
    if args.tta:
        _augment_test(cfg)
    runner = build_runner(cfg, ('test',))
    if args.out:
        runner.test_evaluator.metrics.append(DumpDetResults(out_file_path=args.out))
    runner.test()
    _leave_processes()


def build_runner(cfg: Config, loops: tuple[str, ...] = ('train', 'val')) -> Runner:
    """Build the runner of a config with ``work_dir``, for some of ``'train', 'val', 'test'``.

    Our hooks, COCO metric and model wrapper are put into it where it does not name others.
    Processes are joined if ``cfg.launcher`` names one.

    Raises:
        ConfigError: If its model wrapper would train without sub-networks.
    """
    setup_cache_size_limit_of_dynamo()
    cfg.setdefault('launcher', 'none')
    _add_hooks(cfg, loops)
    for key in {'val_evaluator', 'test_evaluator'} & cfg.keys():
        cfg[key] = exact_metrics(cfg[key])
    _set_wrapper(cfg)
    _join_on_cpu(cfg)
    return RUNNERS.build(cfg) if 'runner_type' in cfg else ShortRunner.from_cfg(cfg)


def _config_of(args: argparse.Namespace) -> Config:
    """Return the config of a command line, with its launcher and work dir."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = load_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or f'work_dirs/{Path(args.config).stem}'
    return cfg


def _tell_stop(runner: Runner, begun: float, args: argparse.Namespace) -> None:
    """Print where the user stopped a run, and the command that goes on."""
    place, pointer = 'before training', Path(runner.work_dir, POINTER)
    if isinstance(runner._train_loop, BaseLoop):
        unit, done, end = progress(runner._train_loop)
        place = f'after {done} of {end} {unit}s' + f', {runner.iter} iterations' * (unit == 'epoch')
    # A checkpoint that is older is of another run, unless this one went on from it.
    resumed = runner._resume and runner._load_from is None
    saved = pointer.is_file() and (resumed or pointer.stat().st_mtime >= begun)
    more = ['--resume'] if saved and args.resume != 'auto' else []
    command = shlex.join(['python', *sys.argv, *more])
    if args.launcher != 'none':
        command = ' and '.join(['the same command', *more])
    does = 'go on' if saved else 'nothing is saved yet, start again'
    print(f'\nstopped {place}\n{does} with: {command}', file=sys.stderr)


def _add_hooks(cfg: Config, loops: tuple[str, ...]) -> None:
    """Put our hooks into a config, but for those that the user took out (None) or replaced.

    A hook of mmengine's that ours extends keeps its options.
    """
    hooks = cfg.get('default_hooks') or ConfigDict()
    added = {'bad_images': 'BadImagesHook'}
    if builds(hooks.get('visualization'), DetVisualizationHook, HOOKS):
        hooks.visualization.type = 'AnyImageVisualizationHook'
    if 'train' in loops:
        added |= {'pending_validation': 'PendingValidationHook', 'versions': 'VersionsHook'}
        for place, stock, ours in (
            ('sampler_seed', dict(type=DistSamplerSeedHook), 'ReproducibleHook'),
            ('checkpoint', dict(type=CheckpointHook, interval=1), 'SafeCheckpointHook'),
        ):
            if builds(hooks.setdefault(place, stock), stock['type'], HOOKS):
                hooks[place]['type'] = ours
    for place, name in added.items():
        if hooks.setdefault(place, {}) is None:
            del hooks[place]  # mmengine takes None for its own hooks alone
        else:
            hooks[place].setdefault('type', name)
    cfg.default_hooks = hooks
    # The config that a run writes down has to import them, too.
    custom = cfg.get('custom_imports') or dict(imports=[], allow_failed_imports=False)
    imports = [custom['imports']] if isinstance(custom['imports'], str) else custom['imports']
    if 'mmgradaug' not in imports:
        cfg.custom_imports = dict(custom, imports=[*imports, 'mmgradaug'])


def _set_wrapper(cfg: Config) -> None:
    """Put the wrapper for several processes into a config; refuse one that drops sub-networks."""
    wrapper = cfg.get('model_wrapper_cfg') or ConfigDict()
    # mmengine reads this key only where there is no model_wrapper_cfg.
    unused = cfg.get('find_unused_parameters', False)
    if not is_gradaug(cfg):
        if not wrapper and cfg.launcher != 'none' and get_device() == 'cpu':
            # mmengine's default, but for the GPU that it takes for granted.
            stock = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)
            cfg.model_wrapper_cfg = dict(find_unused_parameters=unused, **stock)
        return
    ours = dict(find_unused_parameters=unused, type=GradAugDistributedDataParallel.__name__)
    kind = class_of(wrapper.get('type', ours['type']), MODEL_WRAPPERS)
    trains_subnets = (cfg.model.get('gradaug') or {}).get('num_subnets') != 0
    if kind and issubclass(kind, GradAugDistributedDataParallel):
        cfg.model_wrapper_cfg = {**ours, **wrapper}
    elif kind and trains_subnets:
        raise ConfigError(
            f'model_wrapper_cfg.type={kind.__name__!r} would train without sub-networks, expected '
            f'{GradAugDistributedDataParallel.__name__!r}: remove model_wrapper_cfg.type, or set '
            'gradaug.num_subnets=0 for plain training'
        )
    strategy = type_name((cfg.get('strategy') or {}).get('type'))  # of mmengine's FlexibleRunner
    if trains_subnets and strategy and strategy != 'SingleDeviceStrategy':
        raise ConfigError(
            f'strategy.type={strategy!r} would train without sub-networks: remove strategy and '
            'runner_type, or set gradaug.num_subnets=0 for plain training'
        )


def _join_on_cpu(cfg: Config) -> None:
    """Join the processes of a run on the CPU; on GPUs mmengine does."""
    if cfg.launcher == 'none' or get_device() != 'cpu':
        return
    env_cfg: dict[str, Any] = cfg.get('env_cfg') or {}
    set_multi_processing(**env_cfg.get('mp_cfg', {}), distributed=True)
    # mmengine picks the GPU of this number first, and torch none for a negative one.
    os.environ[_LOCAL_RANKS[cfg.launcher]] = '-1'
    init_dist(cfg.launcher, **{**env_cfg.get('dist_cfg', {}), 'backend': 'gloo'})


def _augment_test(cfg: Config) -> None:
    """Put test-time augmentation into a config: its own, or else flipping."""
    nms = dict(type='nms', iou_threshold=0.5)
    cfg.setdefault('tta_model', dict(type='DetTTAModel', tta_cfg=dict(nms=nms, max_per_img=100)))
    if 'tta_pipeline' not in cfg:
        dataset = cfg.test_dataloader.dataset
        while 'dataset' in dataset:
            dataset = dataset.dataset
        *steps, pack = deepcopy(dataset.pipeline)
        keys = 'img_id img_path ori_shape img_shape scale_factor flip flip_direction'
        pack.meta_keys = tuple(dict.fromkeys([*pack.get('meta_keys', ()), *keys.split()]))
        # Metrics that compare with labels take those of the first.
        flips = [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)]
        cfg.tta_pipeline = [*steps, dict(type='TestTimeAug', transforms=[flips, [pack]])]
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline


def _leave_processes() -> None:
    """End a process that others joined, at the end of a run that went well.

    Threads of torch may outlive their group and abort an interpreter that ends in the usual way:
    the launcher then takes a complete run for a failed one.
    """
    if is_distributed():
        torch.distributed.destroy_process_group()
        atexit._run_exitfuncs()  # of logging, or W&B's last message
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
