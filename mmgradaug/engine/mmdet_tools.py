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

from .errors import one_line_errors
from .loading import load_config
from .preflight import check_run
from .preflight.checkpoints import checkpoint_use
from .processes import join_processes, wrapper_options
from .run_hooks import hook_options

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
    args = _parsed(script, argv)
    cfg = load_config(args.config, args.cfg_options)
    with one_line_errors():
        work_dir = args.work_dir or cfg.get('work_dir') or Path('work_dirs', Path(args.config).stem)
        checkpoint = checkpoint_use(cfg, args, Path(work_dir))
        check_run(cfg, loops, checkpoint, _is_main_process(args.launcher))
        argv = [*argv, *wrapper_options(cfg, args.launcher)]
        if name == 'train':
            argv += hook_options(cfg)
        join_processes(cfg, args.launcher)
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


def _parsed(script: Path, argv: Sequence[str]) -> argparse.Namespace:
    """A command line, read by the tool's own parser; ends the process where that does.

    A parser of ours would take the value of an option it does not know for the config.
    """
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(sys, 'argv', [str(script), *argv]))
        stack.enter_context(mock.patch.dict(os.environ))  # the parser sets LOCAL_RANK
        return runpy.run_path(str(script))['parse_args']()


def _is_main_process(launcher: str) -> bool:
    """Whether this is the first of a run's processes."""
    name = {'pytorch': 'RANK', 'slurm': 'SLURM_PROCID', 'mpi': 'OMPI_COMM_WORLD_RANK'}
    return os.environ.get(name.get(launcher, ''), '0') == '0'
