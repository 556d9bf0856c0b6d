"""Run the installed mmdet's own tools, after checking what they are about to need.

mmdet installs its ``tools`` folder beside its package. Running it keeps every option that
users know, in every version of mmdet.
"""

from __future__ import annotations

import argparse
import os
import runpy
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import mmdet
from mmengine.config import Config, DictAction

from ..detection import GradAugDetector
from .preflight import check_run

DDP_OPTION = 'model_wrapper_cfg.type=GradAugDistributedDataParallel'


def run_tool(name: str, argv: Sequence[str], loops: tuple[str, ...]) -> None:
    """Run ``tools/NAME.py`` of the installed mmdet.

    Checkpoints are read as plain data, whatever mmengine would fall back to.

    Args:
        name: ``'train'`` or ``'test'``.
        argv: Its command line.
        loops: The loops it will run, whose data has to be there.

    Raises:
        SystemExit: With a one-line message if something it needs is missing.
    """
    script = Path(mmdet.__file__).parent / '.mim' / 'tools' / f'{name}.py'
    if not script.is_file():
        raise SystemExit(
            f'error: this mmdet ({mmdet.__version__}) has no tool at {script}: install it with '
            'pip, which puts its tools there'
        )
    cfg = _config_of(argv)
    argv = list(argv)
    if cfg is not None:
        try:
            check_run(cfg, loops)
        except FileNotFoundError as error:
            raise SystemExit(f'error: {error}') from error
        if cfg.model.get('type') in ('GradAugDetector', GradAugDetector):
            argv += _wrapper_options(cfg)
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(sys, 'argv', [str(script), *argv]))
        stack.enter_context(mock.patch.dict(os.environ, {'TORCH_FORCE_WEIGHTS_ONLY_LOAD': '1'}))
        runpy.run_path(str(script), run_name='__main__')


def _config_of(argv: Sequence[str]) -> Config | None:
    """The config that a command line names, with its options; None where it asks for help."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument('config', nargs='?')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    args, _ = parser.parse_known_args(argv)
    if args.config is None or {'-h', '--help'} & set(argv):
        return None
    if not Path(args.config).is_file():
        raise SystemExit(
            f'error: no config at {Path(args.config).absolute()}: expected a file such as '
            'configs/mask_rcnn_r50_gradaug_1x.py'
        )
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    return cfg


def _wrapper_options(cfg: Config) -> list[str]:
    """Options that make several processes train sub-networks too, unless configured."""
    return [] if cfg.get('model_wrapper_cfg') else ['--cfg-options', DDP_OPTION]
