"""Train or evaluate a classifier on mmengine's Runner, after checking what that will need."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.device import is_cuda_available, is_mlu_available, is_musa_available, is_npu_available
from mmengine.dist import get_world_size
from mmengine.runner import Runner

from .arguments import config_parser, reading_options
from .building import building_runs, one_line_run
from .errors import one_line_errors, warn
from .loading import load_config
from .out_dir import make_out_dir
from .preflight import check_run
from .preflight.checkpoints import CheckpointUse, checkpoint_use
from .preflight.image_classes import check_classes
from .processes import is_main_process, join_processes, leave_processes, wrapper_options
from .run_hooks import hook_options


def run_pretraining(argv: Sequence[str]) -> None:
    """Train a classifier, or evaluate a checkpoint of one.

    Args:
        argv: The command line of ``tools/pretrain.py``.

    Raises:
        SystemExit: With a one-line message if something the run needs is missing or wrong, or if
            a checkpoint could only be loaded by executing it.
    """
    with one_line_errors():
        parser = _parser()
        args = _parsed(parser, argv)
        cfg = load_config(args.config, args.cfg_options)
        loops = ('test',) if args.eval else ('train', 'val')
        _apply(cfg, args)
        check_run(cfg, loops, _checkpoint(cfg, args), is_main_process(args.launcher))
        make_out_dir('--work-dir', Path(cfg.work_dir), 'logs and checkpoints')
        words = wrapper_options(cfg, args.launcher) + ([] if args.eval else hook_options(cfg))
        cfg.merge_from_dict(parser.parse_args([args.config, *words]).cfg_options or {})
        join_processes(cfg, args.launcher)
    with one_line_run(), building_runs():
        runner = Runner.from_cfg(cfg)
        with one_line_errors():
            check_classes(runner, loops)
            _warn_of_batch_size(runner, loops)
        runner.test() if args.eval else runner.train()
    leave_processes()


def _parser() -> argparse.ArgumentParser:
    """The parser, with the options of mmdet's tools/train.py under their names."""
    parser = config_parser(
        'Train a classifier, or evaluate one', 'such as configs/classification/*'
    )
    parser.add_argument('--work-dir', help='where logs and checkpoints go')
    parser.add_argument('--amp', action='store_true', help='mixed precision, on a GPU')
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help='scale the learning rate to the batch size'
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CKPT',
        help="go on from a checkpoint; without one from the work dir's newest",
    )
    parser.add_argument('--eval', metavar='CKPT', help='evaluate a checkpoint, train nothing')
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='of processes',
    )
    return parser


def _parsed(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """A command line; ends the process where it is wrong."""
    with reading_options():
        args = parser.parse_args(list(argv))
    if args.eval and args.resume:
        parser.error('--eval trains nothing, so there is nothing to --resume: give one of them')
    return args


def _apply(cfg: Config, args: argparse.Namespace) -> None:
    """Put the command line into the config.

    Raises:
        ValueError: If an option does not suit the config or this machine.
    """
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or f'work_dirs/{Path(args.config).stem}'
    if args.amp and not args.eval:
        _require_accelerator()
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.auto_scale_lr:
        if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
            raise ValueError(
                '--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=N) in the config: the '
                'batch size that its learning rate is for'
            )
        cfg.auto_scale_lr.enable = True
    if args.eval:
        cfg.load_from, cfg.resume = args.eval, False
        _drop_training(cfg)
    elif args.resume:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume


def _require_accelerator() -> None:
    """Raise where mmengine has no mixed precision."""
    if not (is_cuda_available() or is_npu_available() or is_mlu_available() or is_musa_available()):
        raise ValueError('--amp needs a GPU, and there is none here: leave it out')


def _drop_training(cfg: Config) -> None:
    """Leave the test loop alone in a config."""
    for key in (
        'train_dataloader',
        'train_cfg',
        'optim_wrapper',
        'param_scheduler',
        'auto_scale_lr',
        'val_dataloader',
        'val_cfg',
        'val_evaluator',
    ):
        cfg[key] = None


def _checkpoint(cfg: Config, args: argparse.Namespace) -> CheckpointUse | None:
    """The checkpoint that a run will load."""
    if args.eval:
        return CheckpointUse(Path(args.eval), 'test', '--eval')
    return checkpoint_use(cfg, args, Path(cfg.work_dir))


def _warn_of_batch_size(runner: Any, loops: tuple[str, ...]) -> None:
    """Warn where the learning rate is for another batch size."""
    scaling = runner.auto_scale_lr or {}
    if 'train' not in loops or 'base_batch_size' not in scaling or scaling.get('enable'):
        return
    counts = runner.cfg.optim_wrapper.get('accumulative_counts', 1)
    size = runner.train_dataloader.batch_sampler.batch_size * get_world_size()
    base = scaling['base_batch_size']
    if size * counts != base and is_main_process(runner.cfg.launcher):
        warn(
            f'the learning rate is for batches of {base} images, this run has {size * counts} '
            f'(on {get_world_size()} processes): --auto-scale-lr scales it, or set '
            f'optim_wrapper.accumulative_counts={max(1, round(base / size))}'
        )
