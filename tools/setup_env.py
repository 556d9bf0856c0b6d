"""Sets up a virtual environment of the project; `make setup` and `make setup-stock` run this file.

Needs nothing but the standard library. The steps, in order: the pinned packages, OpenMMLab's
packages, mmcv compiled against the installed torch, the project itself in editable mode. A stamp
in the environment says for which inputs all of that was done, so a second run returns at once.
Every step may be interrupted: the same command goes on from there, within mmcv's compilation too.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time

from environment.errors import SetupError
from environment.exclusive import exclusive
from environment.host import check_host
from environment.mmcv_build import install_mmcv
from environment.packages import install_packages, install_project, verify
from environment.progress import clock, say
from environment.stack import MAIN, STOCK, Stack
from environment.stamp import (
    cuda_here,
    current_fingerprint,
    is_current,
    read_stamp,
    stamp_file,
    write_stamp,
)
from environment.venv import ensure_venv


def set_up(stack: Stack, force: bool) -> None:
    """Brings an environment up to date, doing only what is not done yet."""
    expected, cuda, stamp = current_fingerprint(stack), cuda_here(), stamp_file(stack)
    if not force and is_current(read_stamp(stamp), expected, stack.python, cuda):
        say('up to date')
        return
    check_host()
    with exclusive(stack.folder):
        if not force and is_current(read_stamp(stamp), expected, stack.python, cuda):
            return
        start = time.monotonic()
        say(f'into {stack.folder}; all output goes to {stack.log}')
        ensure_venv(stack, force)
        stamp.unlink(missing_ok=True)
        install_packages(stack)
        mmcv = install_mmcv(stack)
        install_project(stack)
        verify(stack)
        write_stamp(stack, expected, mmcv, cuda)
        say(f'ready after {clock(time.monotonic() - start)}')


def main() -> int:
    """Runs the set-up; returns the exit status."""
    parser = argparse.ArgumentParser(description='Set up the virtual environment .venv.')
    parser.add_argument('--force', action='store_true', help='build it anew')
    stock = 'instead .venv-stock, with the original mmengine, mmcv and mmdet'
    parser.add_argument('--stock', action='store_true', help=stock)
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        set_up(STOCK if arguments.stock else MAIN, arguments.force)
    except SetupError as error:
        print(f'\nset-up failed: {error}\nTo mend it: {error.fix}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\nset-up interrupted; the same command goes on from here', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
