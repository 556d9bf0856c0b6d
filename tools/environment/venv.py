"""The empty virtual environment."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

from .errors import SetupError
from .host import venv_fix
from .stack import ROOT, Stack


def ensure_venv(stack: Stack, force: bool) -> None:
    """Makes the environment, unless there is one that this Python made for this checkout."""
    # Scripts in an environment name its folder, compiled packages their Python: neither moves.
    origin = json.dumps([str(ROOT), platform.python_version()])
    origin_file = stack.folder / '.mmgradaug-origin.json'
    if force or not origin_file.exists() or origin_file.read_text() != origin:
        make_venv(stack)
    origin_file.write_text(origin)


def make_venv(stack: Stack) -> None:
    """Makes the environment, clearing what is there."""
    # The base interpreter: the one running may itself live in the environment to be cleared.
    base = getattr(sys, '_base_executable', sys.executable)
    command = [base, '-m', 'venv', '--clear', str(stack.folder)]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode != 0:
        raise SetupError(
            f'exit status {result.returncode} of: {" ".join(command)}\n{result.stdout.strip()}',
            venv_fix(),
        )
