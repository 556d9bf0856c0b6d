"""What pip installs into an environment."""

from __future__ import annotations

import contextlib
import platform
import time
from functools import partial

from .errors import SetupError
from .host import SPACE, free_gb
from .progress import PipStatus, say
from .stack import REQUIREMENTS, ROOT, Stack
from .steps import run


def pip(stack: Stack, command: str, *arguments: str, progress: str = 'off') -> list[str]:
    """Returns a pip command on an environment."""
    options = ['--disable-pip-version-check', '--no-input', '--progress-bar', progress]
    return [str(stack.python), '-m', 'pip', command, *options, *arguments]


def install_packages(stack: Stack) -> None:
    """Installs the pinned packages and OpenMMLab's pure Python ones."""
    pins = stack.pins()
    run('installing pip', pip(stack, 'install', f'pip=={pins["pip"]}'), stack.log)
    has_torch = any(stack.folder.glob('lib/python*/site-packages/torch'))
    if platform.machine() == 'x86_64' and not has_torch:
        say(
            f'torch for x86-64 comes with CUDA: {SPACE} ({free_gb(stack.folder):.0f} GB are free); '
            '`make help` tells how to get a CPU-only one'
        )
    constraints = [option for lock in stack.locks for option in ('-c', str(lock))]
    locked = pip(stack, 'install', '-r', str(REQUIREMENTS), *constraints, progress='raw')
    status = PipStatus(partial(installed, stack, time.time()))
    run('installing packages', locked, stack.log, status=status)
    # No build isolation: it would fetch another setuptools, unpinned.
    names = [f'{name}=={pins[name]}' for name in stack.no_deps]
    without = pip(stack, 'install', '--no-deps', '--no-build-isolation', *names)
    run('installing mmdet', without, stack.log)


def installed(stack: Stack, since: float) -> int:
    """Counts the packages that pip has installed into an environment since a time."""
    count = 0
    # pip writes this file last; meanwhile it may remove that of an older version.
    for path in stack.folder.glob('lib/python*/site-packages/*.dist-info/INSTALLER'):
        with contextlib.suppress(FileNotFoundError):
            count += path.stat().st_mtime >= since
    return count


def install_project(stack: Stack) -> None:
    """Installs mmgradaug itself in editable mode."""
    options = ('--no-deps', '--no-build-isolation', '-e', str(ROOT))
    run('installing mmgradaug', pip(stack, 'install', *options), stack.log)


def verify(stack: Stack) -> None:
    """Imports what was installed, so that a set-up that says it is done is usable."""
    try:
        imports = [str(stack.python), '-c', 'import cv2, torchvision, mmdet.apis']
        run('importing mmdet', imports, stack.log)
    except SetupError as error:
        raise SetupError(str(error), f'{stack.command} FORCE=1') from None
