"""What the machine needs before anything can be installed, and how much it may be loaded."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from .errors import SetupError

PYTHON_MIN, PYTHON_MAX = (3, 10), (3, 13)
SPACE = 'an environment takes 8 GB on x86-64, and up to 3 GB of downloads while it is made'


def check_host(version: tuple[int, ...] = sys.version_info[:2]) -> None:
    """Raises a SetupError unless this Python can make environments and compile extensions."""
    if not PYTHON_MIN <= version[:2] <= PYTHON_MAX:
        found, low, high = ('.'.join(map(str, v)) for v in (version, PYTHON_MIN, PYTHON_MAX))
        raise SetupError(
            f'Python {found} at {sys.executable}; {low} to {high} is needed',
            'make setup PYTHON=python3.11',
        )
    # Debian keeps ensurepip, without which `venv` makes an environment without pip, apart.
    if importlib.util.find_spec('ensurepip') is None:
        raise SetupError(
            f'{sys.executable} has no module ensurepip, needed to make an environment',
            venv_fix(version),
        )
    for fault, fix in missing_compilers():
        raise SetupError(fault, fix)


def venv_fix(version: tuple[int, ...] = sys.version_info[:2]) -> str:
    """Returns the command that installs what Python's module `venv` lacks."""
    return f'apt install python{version[0]}.{version[1]}-venv'


def missing_compilers() -> Iterator[tuple[str, str]]:
    """Yields (fault, fix) for each thing that compiling mmcv lacks."""
    compiler = os.environ.get('CXX', 'c++').split()[0]
    if shutil.which(compiler) is None:
        yield f'no C++ compiler ({compiler}) to compile mmcv', 'apt install g++'
    header = Path(sysconfig.get_path('include')) / 'Python.h'
    if not header.exists():
        package = f'python{sys.version_info[0]}.{sys.version_info[1]}-dev'
        yield f'no {header} to compile mmcv with', f'apt install {package}'


def free_gb(folder: Path) -> float:
    """Returns the gigabytes free on the disk of a folder, which need not exist yet."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(existing).free / 1e9


def usable_jobs() -> int:
    """Returns how many compilers to run at once: cores granted, at 2 GiB of memory each."""
    if os.environ.get('MAX_JOBS', '').isdigit():
        return max(1, int(os.environ['MAX_JOBS']))
    cores = len(os.sched_getaffinity(0))
    with contextlib.suppress(OSError, ValueError):  # a container's share, e.g. '200000 100000'
        quota, period = Path('/sys/fs/cgroup/cpu.max').read_text().split()
        cores = min(cores, round(int(quota) / int(period)))
    if match := re.search(r'MemAvailable:\s+(\d+) kB', Path('/proc/meminfo').read_text()):
        cores = min(cores, int(match[1]) // 2**21)
    return max(1, cores)
