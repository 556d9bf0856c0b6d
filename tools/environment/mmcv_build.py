"""mmcv, compiled against the installed torch or taken from the cache of wheels."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import sys
from pathlib import Path

from .cuda import Build, choose_build, find_toolkits, has_gpu
from .errors import SetupError
from .exclusive import exclusive
from .host import usable_jobs
from .packages import pip
from .probe import PROBES, probe
from .progress import ninja_status, say
from .stack import Stack
from .steps import run
from .wheels import MMCV_CFLAGS, wheel_cache, wheel_key


def install_mmcv(stack: Stack) -> str:
    """Installs mmcv for the installed torch and returns the cache folder it comes from."""
    torch = probe(stack.python, PROBES['torch'])
    if 'error' in torch:
        fix = f'{stack.command} FORCE=1'
        raise SetupError(f'torch does not import: {torch["error"]}', fix)
    toolkits = find_toolkits()
    build = choose_build(has_gpu(), toolkits, torch['cuda'])
    if build.warning:
        say(f'WARNING: {build.warning}')
    archs = os.environ.get('TORCH_CUDA_ARCH_LIST') or ';'.join(torch['archs'])
    version = stack.pins()[stack.mmcv]
    tag = f'cp{sys.version_info[0]}{sys.version_info[1]}'
    device = name_device(build, toolkits, archs)
    entry = wheel_cache() / wheel_key(version, torch['version'], tag, platform.machine(), device)
    if entry.exists():
        say(f'mmcv was compiled before: {entry}')
        if not install_wheel(stack, entry):
            say('which does not load here: compiling it anew')
    if not entry.exists():
        compile_mmcv(stack, f'{stack.mmcv}=={version}', entry, build_variables(stack, build, archs))
        if not install_wheel(stack, entry):
            fault = f'mmcv compiled, but does not load; see {stack.log}'
            raise SetupError(fault, f'{stack.command} CXX=g++')
    return str(entry)


def name_device(build: Build, toolkits: dict[str, str], archs: str) -> str:
    """Returns the part of a wheel's key that says what it runs on.

    Args:
        build: How mmcv is built.
        toolkits: Versions by home, as from `find_toolkits`.
        archs: The GPUs' architectures, e.g. `8.0;9.0`; empty for all that torch supports.
    """
    if build.cuda_home is None:
        return 'cpu'
    names = re.sub(r'[^\w.+]+', '_', archs or 'all')
    return f'cuda{toolkits[build.cuda_home]}-{names}'


def build_variables(stack: Stack, build: Build, archs: str) -> dict[str, str]:
    """Returns the environment variables that mmcv's build reads."""
    env = {
        'MMCV_WITH_OPS': '1',
        'CFLAGS': MMCV_CFLAGS,
        'MAX_JOBS': str(usable_jobs()),
        'PATH': f'{stack.python.parent}{os.pathsep}{os.environ["PATH"]}',  # for ninja
    }
    if build.cuda_home is None:
        # Hidden, or mmcv would compile for a GPU it sees, without the toolkit.
        return {**env, 'FORCE_CUDA': '0', 'CUDA_VISIBLE_DEVICES': ''}
    env.update({'FORCE_CUDA': '1', 'CUDA_HOME': build.cuda_home})
    return {**env, 'TORCH_CUDA_ARCH_LIST': archs} if archs else env


def compile_mmcv(stack: Stack, requirement: str, entry: Path, env: dict[str, str]) -> None:
    """Compiles mmcv into the cache folder `entry`.

    pip builds a folder in place, so object files outlive an interruption and ninja goes on from
    them. `entry` appears by a rename, complete.
    """
    work = entry.with_name(entry.name + '.build')
    with exclusive(work):
        if entry.exists():
            return
        source = fetch_source(stack, requirement, work)
        wheels = work / 'wheels'
        shutil.rmtree(wheels, ignore_errors=True)
        command = pip(stack, 'wheel', '-v', '--no-deps', '--no-build-isolation', '--no-cache-dir')
        on_cpu = env['FORCE_CUDA'] == '0'
        takes = (
            '7 to 15 minutes on 2 cores' if on_cpu else 'an hour of processor time a kind of GPU'
        )
        say(f'mmcv has no wheel for it: compiling, once for this torch; {takes}')
        command += ['-w', str(wheels), str(source)]
        title = f'compiling mmcv, {env["MAX_JOBS"]} at a time'
        run(title, command, stack.log, env, ninja_status)
        wheels.rename(entry)
        shutil.rmtree(work)


def fetch_source(stack: Stack, requirement: str, work: Path) -> Path:
    """Downloads and unpacks the source of mmcv, unless an earlier run did."""
    source = work / 'source'
    if not source.exists():
        download = work / 'download'
        for leftover in (download, work / 'unpacked'):
            shutil.rmtree(leftover, ignore_errors=True)
        options = ['--no-deps', '--no-build-isolation', '--no-binary', stack.mmcv]
        command = pip(stack, 'download', *options, '-d', str(download), requirement)
        run('fetching mmcv', command, stack.log)
        shutil.unpack_archive(next(download.iterdir()), work / 'unpacked')
        # Renamed last, so that `source` is whole whenever it exists.
        next((work / 'unpacked').iterdir()).rename(source)
    return source


def install_wheel(stack: Stack, entry: Path) -> bool:
    """Installs the mmcv in a cache folder; removes the folder and returns False if it is bad."""
    # Forced: the one installed may have the same version and be built for another torch.
    wheel = str(next(entry.glob('*.whl')))
    command = pip(stack, 'install', '--no-deps', '--force-reinstall', wheel)
    run('installing mmcv', command, stack.log)
    with contextlib.suppress(SetupError):
        run("loading mmcv's ops", [str(stack.python), '-c', 'import mmcv.ops'], stack.log)
        return True
    shutil.rmtree(entry)
    return False
