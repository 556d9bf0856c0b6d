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

from .arguments import reading_options
from .building import building_runs, one_line_run
from .errors import InputError, one_line_errors
from .loading import load_config
from .out_dir import make_out_dir, make_out_file
from .preflight import check_run
from .preflight.checkpoints import checkpoint_use
from .processes import is_main_process, join_processes, leave_processes, wrapper_options
from .run_hooks import hook_options, hook_options_of_testing


def run_tool(name: str, argv: Sequence[str], loops: tuple[str, ...]) -> None:
    """Run ``tools/NAME.py`` of the installed mmdet.

    Checkpoints are read as data only, with any mmengine.

    Args:
        name: ``'train'`` or ``'test'``.
        argv: Its command line.
        loops: The loops it will run, whose data has to be there.

    Raises:
        SystemExit: With a one-line message if something it needs is missing, if options are not
            taken, if a checkpoint could only be loaded by executing it, or if anything of this
            package refuses to go on.
    """
    with one_line_errors():
        script = _find_tool(name)
        args = _parsed(script, argv)
        cfg = load_config(args.config, args.cfg_options)
        work_dir = args.work_dir or cfg.get('work_dir') or Path('work_dirs', Path(args.config).stem)
        checkpoint = checkpoint_use(cfg, args, Path(work_dir))
        check_run(cfg, loops, checkpoint, is_main_process(args.launcher))
        make_out_dir('--work-dir', Path(work_dir), 'logs and checkpoints')
        _try_outputs(args)
        argv = [*argv, *wrapper_options(cfg, args.launcher)]
        argv += hook_options(cfg) if name == 'train' else hook_options_of_testing(cfg)
        join_processes(cfg, args.launcher)
    line = mock.patch.object(sys, 'argv', [str(script), *argv])
    with one_line_run(script), building_runs(), line:
        runpy.run_path(str(script), run_name='__main__')
    leave_processes()


def _try_outputs(args: argparse.Namespace) -> None:
    """Raise if what tools/test.py writes besides its log could not be written in the end.

    Raises:
        OSError: With the option.
    """
    if getattr(args, 'out', None):
        make_out_file('--out', Path(args.out), 'the predictions')
    # A relative folder lies below the work dir.
    if Path(getattr(args, 'show_dir', None) or '').is_absolute():
        make_out_dir('--show-dir', Path(args.show_dir), 'pictures')


def _find_tool(name: str) -> Path:
    """Where mmdet keeps a tool: in its package, or beside it in a checkout.

    Raises:
        InputError: If it is in neither.
    """
    package = Path(mmdet.__file__).parent
    candidates = [package / '.mim' / 'tools', package.parent / 'tools']
    for folder in candidates:
        if (folder / f'{name}.py').is_file():
            return folder / f'{name}.py'
    raise InputError(
        f'mmdet {mmdet.__version__} has no tools/{name}.py in '
        f'{" or ".join(map(str, candidates))}: install mmdet with pip, which puts its tools there'
    )


def _parsed(script: Path, argv: Sequence[str]) -> argparse.Namespace:
    """A command line, read by the tool's own parser, which ends the process where it is wrong.

    A parser of ours would take the value of an option it does not know for the config.
    """
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(sys, 'argv', [str(script), *argv]))
        stack.enter_context(mock.patch.dict(os.environ))  # the parser sets LOCAL_RANK
        with reading_options():
            return runpy.run_path(str(script))['parse_args']()
