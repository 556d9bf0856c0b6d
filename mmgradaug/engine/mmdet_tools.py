"""Run the installed mmdet's own tools, after checking what they are about to need.

mmdet installs its ``tools`` folder beside its package. Running it keeps every option that
users know, in every version of mmdet.
"""

from __future__ import annotations

import argparse
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import mmdet
from mmengine.config import Config, DictAction

from ..checkpoints.safe_loading import UnsafeCheckpointError, safe_loading
from ..detection import GradAugDetector
from .loading import load_config
from .preflight import check_run

DDP_OPTION = 'model_wrapper_cfg.type=GradAugDistributedDataParallel'


def run_tool(name: str, argv: Sequence[str], loops: tuple[str, ...]) -> None:
    """Run ``tools/NAME.py`` of the installed mmdet.

    Checkpoints are read as data only, with any mmengine.

    Args:
        name: ``'train'`` or ``'test'``.
        argv: Its command line.
        loops: The loops it will run, whose data has to be there.

    Raises:
        SystemExit: With a one-line message if something it needs is missing, or if a checkpoint
            could only be loaded by executing it.
    """
    script = _find_tool(name)
    cfg = _config_of(argv)
    argv = list(argv)
    if cfg is not None:
        try:
            check_run(cfg, loops)
        except (FileNotFoundError, ValueError) as error:
            raise SystemExit(f'error: {error}') from error
        if cfg.model.get('type') in ('GradAugDetector', GradAugDetector):
            argv += _wrapper_options(cfg)
    try:
        with safe_loading(), mock.patch.object(sys, 'argv', [str(script), *argv]):
            runpy.run_path(str(script), run_name='__main__')
    except UnsafeCheckpointError as error:
        raise SystemExit(f'error: {error}') from error


def _find_tool(name: str) -> Path:
    """Where mmdet keeps a tool: in its package, or beside it in a checkout."""
    package = Path(mmdet.__file__).parent
    candidates = [package / '.mim' / 'tools', package.parent / 'tools']
    for folder in candidates:
        if (folder / f'{name}.py').is_file():
            return folder / f'{name}.py'
    raise SystemExit(
        f'error: mmdet {mmdet.__version__} has no tools/{name}.py in '
        f'{" or ".join(map(str, candidates))}: install mmdet with pip, which puts its tools there'
    )


def _config_of(argv: Sequence[str]) -> Config | None:
    """The config that a command line names, with its options; None where it asks for help."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument('config', nargs='?')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    args, _ = parser.parse_known_args(argv)
    if args.config is None or {'-h', '--help'} & set(argv):
        return None
    return load_config(args.config, args.cfg_options)


def _wrapper_options(cfg: Config) -> list[str]:
    """Options that make several processes train sub-networks too, unless configured."""
    if cfg.get('model_wrapper_cfg'):
        return []
    unused = bool(cfg.get('find_unused_parameters', False))  # not read where a wrapper is set
    return ['--cfg-options', DDP_OPTION, f'model_wrapper_cfg.find_unused_parameters={unused}']
