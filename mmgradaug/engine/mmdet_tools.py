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
import mmengine.runner.checkpoint
from mmengine.config import Config, DictAction

from ..detection import GradAugDetector
from .loading import load_config
from .preflight import check_run
from .run_hooks import hook_options

DDP_OPTION = 'model_wrapper_cfg.type=GradAugDistributedDataParallel'
WEIGHTS_ONLY = ('WEIGHTS_ONLY_LOAD', 'NO_WEIGHTS_ONLY_LOAD')


def run_tool(name: str, argv: Sequence[str], loops: tuple[str, ...]) -> None:
    """Run ``tools/NAME.py`` of the installed mmdet.

    With an mmengine that can resume so, checkpoints are read as plain data only.

    Args:
        name: ``'train'`` or ``'test'``.
        argv: Its command line.
        loops: The loops it will run, whose data has to be there.

    Raises:
        SystemExit: With a one-line message if something it needs is missing.
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
        if name == 'train':
            argv += hook_options(cfg)
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(sys, 'argv', [str(script), *argv]))
        stack.enter_context(mock.patch.dict(os.environ, _safe_loading()))
        runpy.run_path(str(script), run_name='__main__')


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


def _safe_loading() -> dict[str, str]:
    """Environment in which checkpoints load as plain data only.

    Left alone where the mmengine has no list of its own classes that a checkpoint of a run may
    hold (0.10.7 and older), and where the user has decided already.
    """
    can_resume = hasattr(mmengine.runner.checkpoint, 'get_torch_safe_globals')
    decided = any(f'TORCH_FORCE_{name}' in os.environ for name in WEIGHTS_ONLY)
    return {} if decided or not can_resume else {f'TORCH_FORCE_{WEIGHTS_ONLY[0]}': '1'}


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
