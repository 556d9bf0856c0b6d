"""Sets up the project's virtual environment `.venv`; `make setup` runs this file.

Needs nothing but the standard library. The steps, in order: the pinned packages, OpenMMLab's
packages, mmcv compiled against the installed torch, the project itself in editable mode. A stamp
in `.venv` says for which inputs all of that was done, so a second run returns at once. Every step
may be interrupted: the same command goes on from there, within mmcv's compilation too.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import glob
import hashlib
import importlib.util
import json
import os
import platform
import re
import selectors
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / '.venv'
VENV_PYTHON = VENV / 'bin' / 'python'
STAMP = VENV / '.mmgradaug-setup.json'
LOG = VENV / 'setup.log'
LOCK = ROOT / 'requirements.lock'
INPUTS = (LOCK, ROOT / 'requirements.txt', ROOT / 'setup.py', Path(__file__).resolve())

PYTHON_MIN, PYTHON_MAX = (3, 10), (3, 13)

# These ask for opencv-python, whose wheel needs libGL, which servers lack, and which overwrites
# the files of opencv-python-headless. What else they need is listed in requirements.txt.
NO_DEPS = ('onedl-mmengine', 'onedl-mmdetection', 'imaug')

# Has no wheel with compiled ops on PyPI, and its build must see the torch it will run with.
MMCV = 'onedl-mmcv'

# CFLAGS replaces Python's own flags, so the optimisation level has to be said: without -O2 the ops
# take three times as long. Without debug symbols the compilation takes a third of the time.
MMCV_CFLAGS = '-O2 -g0 -DNDEBUG'


class SetupError(Exception):
    """A fault with the one line that mends it.

    Args:
        fault: What was found and what was expected.
        fix: The command or the step to take.
    """

    def __init__(self, fault: str, fix: str) -> None:
        super().__init__(fault)
        self.fix = fix


# ------------------------------------------------------------------ what the machine has


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
            f'{sys.executable} has no module ensurepip, needed to make {VENV}',
            f'apt install python{version[0]}.{version[1]}-venv',
        )
    for fault, fix in missing_compilers():
        raise SetupError(fault, fix)


def missing_compilers() -> Iterator[tuple[str, str]]:
    """Yields (fault, fix) for each thing that compiling mmcv lacks."""
    compiler = os.environ.get('CXX', 'c++').split()[0]
    if shutil.which(compiler) is None:
        yield f'no C++ compiler ({compiler}) to compile mmcv', 'apt install g++'
    header = Path(sysconfig.get_path('include')) / 'Python.h'
    if not header.exists():
        package = f'python{sys.version_info[0]}.{sys.version_info[1]}-dev'
        yield f'no {header} to compile mmcv with', f'apt install {package}'


def has_gpu() -> bool:
    """Whether there is an NVIDIA GPU; FORCE_CUDA=1 or 0 in the environment overrules."""
    forced = os.environ.get('FORCE_CUDA')
    if forced in ('0', '1'):
        return forced == '1'
    if os.environ.get('CUDA_VISIBLE_DEVICES') in ('', '-1'):
        return False
    # /dev/dxg is the GPU inside WSL 2.
    return bool(glob.glob('/dev/nvidia[0-9]*')) or os.path.exists('/dev/dxg')


def find_toolkits() -> dict[str, str]:
    """Maps the home of each CUDA toolkit to its version, the user's choice first."""
    nvcc = shutil.which('nvcc')
    homes = [os.environ.get('CUDA_HOME'), os.environ.get('CUDA_PATH')]
    homes += [str(Path(nvcc).resolve().parent.parent)] if nvcc else []
    homes += ['/usr/local/cuda', *sorted(glob.glob('/usr/local/cuda-*'), reverse=True)]
    found = {}
    for home in dict.fromkeys(os.path.realpath(home) for home in homes if home):
        # An nvcc on its own is a wrapper of another one, or of a toolkit without headers.
        headers = glob.glob(f'{home}/include/cuda_runtime.h')
        headers += glob.glob(f'{home}/targets/*/include/cuda_runtime.h')
        nvcc = os.path.join(home, 'bin', 'nvcc')
        if headers and os.path.exists(nvcc):
            text = subprocess.run([nvcc, '--version'], capture_output=True, text=True).stdout
            if match := re.search(r'release (\d+\.\d+)', text):
                found[home] = match[1]
    return found


class Build(NamedTuple):
    """How mmcv is to be built: `cuda_home` is None for the CPU; `warning` is for the user."""

    cuda_home: str | None
    warning: str = ''


def choose_build(gpu: bool, toolkits: dict[str, str], torch_cuda: str | None) -> Build:
    """Decides between the CPU and the CUDA build of mmcv's ops.

    Args:
        gpu: Whether there is a GPU to run on.
        toolkits: Versions by home, as from `find_toolkits`.
        torch_cuda: `torch.version.cuda`, None for a torch without CUDA.
    """
    if not gpu:
        return Build(None)
    if torch_cuda is None:
        return Build(None, 'there is a GPU, but torch is a CPU build: mmcv is built for the CPU')
    # torch refuses to compile with a toolkit of another major version, and with it only.
    for home, version in toolkits.items():
        if version.split('.')[0] == torch_cuda.split('.')[0]:
            return Build(home)
    found = ', '.join(f'{v} in {h}' for h, v in toolkits.items()) or 'none'
    return Build(
        None,
        f'there is a GPU, but mmcv is built for the CPU: torch needs a CUDA {torch_cuda} toolkit, '
        f'found {found}. Install it (https://developer.nvidia.com/cuda-toolkit-archive) and run '
        '`make setup` again',
    )


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


# ------------------------------------------------------------------ what has been done already


def read_pins(text: str) -> dict[str, str]:
    """Maps package to version in the text of a constraints file."""
    return dict(re.findall(r'^([\w.-]+)==([^\s;]+)', text, flags=re.MULTILINE))


def fingerprint(inputs: dict[str, bytes], cuda: dict[str, str]) -> str:
    """Returns a hash of everything the environment depends on.

    Args:
        inputs: Contents of the files that say what is installed, by name.
        cuda: Toolkits that mmcv may be compiled with; empty without a GPU.
    """
    facts = [platform.python_version(), platform.machine(), str(ROOT), sorted(cuda.items())]
    digest = hashlib.sha256(json.dumps(facts).encode())
    for name, content in sorted(inputs.items()):
        digest.update(f'\0{name}\0{len(content)}\0'.encode() + content)
    return digest.hexdigest()


def current_fingerprint() -> str:
    """Returns the fingerprint of this checkout on this machine."""
    inputs = {path.name: path.read_bytes() for path in INPUTS}
    return fingerprint(inputs, find_toolkits() if has_gpu() else {})


def read_stamp(stamp: Path = STAMP) -> dict[str, str]:
    """Returns what the finished set-up noted down, or nothing if none was finished."""
    try:
        return dict(json.loads(stamp.read_text()))
    except (OSError, ValueError):
        return {}


def is_current(stamp: dict[str, str], expected: str, python: Path = VENV_PYTHON) -> bool:
    """Whether the set-up that left `stamp` needs no doing again."""
    return stamp.get('fingerprint') == expected and python.exists()


def wheel_key(mmcv: str, torch: str, python_tag: str, machine: str, device: str) -> str:
    """Names the cache entry of a compiled mmcv: whatever makes a binary differ is in it.

    Args:
        mmcv: mmcv's version.
        torch: `torch.__version__` with its local part, e.g. `2.10.0+cu128`.
        python_tag: E.g. `cp311`.
        machine: E.g. `x86_64`.
        device: `cpu`, or `cuda` with toolkit and architectures, e.g. `cuda12.8-9.0`.
    """
    flags = hashlib.sha256(MMCV_CFLAGS.encode()).hexdigest()[:6]
    return f'mmcv{mmcv}-torch{torch}-{python_tag}-{machine}-{device}-{flags}'


def wheel_cache() -> Path:
    """Returns the folder of compiled mmcv wheels, shared by all checkouts of a user."""
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base, 'mmgradaug', 'wheels')


# ------------------------------------------------------------------ showing progress


def clock(seconds: float) -> str:
    """Formats a duration as minutes and seconds."""
    return f'{int(seconds) // 60}:{int(seconds) % 60:02d}'


class PipStatus:
    """Turns pip's output, line by line, into what to show; None keeps what is shown."""

    def __init__(self) -> None:
        self.file = ''

    def __call__(self, line: str, elapsed: float) -> str | None:
        """Reads one line."""
        if match := re.match(r'\s*(?:Downloading|Using cached) (\S+) \((.*)\)', line):
            # The name and version of .../torch-2.10.0-cp311-cp311-manylinux_2_28_x86_64.whl
            name = '-'.join(match[1].rsplit('/')[-1].split('-')[:2])
            self.file = f'{name} ({match[2]})'
            return self.file
        if match := re.match(r'Progress (\d+) of (\d+)', line):
            return f'downloading {self.file} {100 * int(match[1]) // max(1, int(match[2]))} %'
        if match := re.match(r'Installing collected packages(.*)', line):
            return f'unpacking {match[1].count(",") + 1} packages'
        return None


def ninja_status(line: str, elapsed: float) -> str | None:
    """Turns a line of ninja's output, `[k/n] command`, into a count and the time left."""
    match = re.match(r'\s*\[(\d+)/(\d+)\]', line)
    if not match:
        return None
    done, total = int(match[1]), int(match[2])
    return f'{done}/{total} files, about {clock(elapsed / done * (total - done))} left'


class Progress:
    """One updating line on a terminal; elsewhere a line every 20 s."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.start = self.shown = time.monotonic()
        self.tty = sys.stdout.isatty()
        self.status = ''
        print(f'[setup] {title} ...', end='' if self.tty else '\n', flush=True)

    def elapsed(self) -> float:
        """Returns the seconds since the step began."""
        return time.monotonic() - self.start

    def show(self, end: str = '') -> None:
        """Shows the step as it stands."""
        text = f'[setup] {self.title}: {clock(self.elapsed())} {self.status}'
        self.shown = time.monotonic()
        if self.tty:
            text = '\r\033[K' + text[: shutil.get_terminal_size().columns - 1]
        print(text, end=end if self.tty else '\n', flush=True)

    def tick(self) -> None:
        """Shows the step if it has not been shown for a while."""
        if time.monotonic() - self.shown >= (1 if self.tty else 20):
            self.show()

    def finish(self, status: str) -> None:
        """Shows the end of the step."""
        self.status = status
        self.show(end='\n')


def start(command: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
    """Starts a command in the checkout, both its outputs in one pipe."""
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, 'PYTHONUNBUFFERED': '1', **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # An interrupt then reaches this process alone, which ends the whole tree of the command.
        start_new_session=True,
    )


def read_lines(process: subprocess.Popen[bytes], tick: Callable[[], None]) -> Iterator[str]:
    """Yields the lines of a process's output, calling `tick` every second while there are none."""
    pipe, buffer = process.stdout, b''
    assert pipe is not None
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            tick()
            if not selector.select(timeout=1):
                continue
            chunk = os.read(pipe.fileno(), 65536)
            if not chunk:
                break
            *lines, buffer = (buffer + chunk).split(b'\n')
            yield from (line.decode(errors='replace') for line in lines)
    if buffer:
        yield buffer.decode(errors='replace')


def run(
    title: str,
    command: list[str],
    env: dict[str, str] | None = None,
    status: Callable[[str, float], str | None] | None = None,
) -> None:
    """Runs a command, its output in the log, its progress on the screen.

    Raises:
        SetupError: The command failed; the end of its output is shown.
    """
    progress, status, lines = Progress(title), status or PipStatus(), []
    with LOG.open('a') as log, start(command, env or {}) as process:
        log.write(f'\n$ {" ".join(command)}\n')
        try:
            for line in read_lines(process, progress.tick):
                if not line.startswith('Progress '):  # pip's, four a second
                    log.write(line + '\n')
                    lines.append(line)
                progress.status = status(line, progress.elapsed()) or progress.status
            code = process.wait()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            progress.finish('interrupted')
            raise
    progress.finish('done' if code == 0 else 'FAILED')
    if code != 0:
        raise SetupError(
            f'exit status {code} of: {" ".join(command)}\n{excerpt(lines)}',
            f'the whole output is in {LOG}; the same command goes on from here',
        )


def excerpt(lines: list[str]) -> str:
    """Returns the first errors and the end of a failed command's output, cut to 300 columns."""
    errors = [line for line in lines[:-15] if re.search(r'\berror\b', line, re.IGNORECASE)]
    return '\n'.join(f'    {line[:300]}' for line in [*errors[:5], *lines[-15:]])


# ------------------------------------------------------------------ the steps


def make_venv() -> None:
    """Makes `.venv`, clearing what is there."""
    # The base interpreter: the one running may itself live in the `.venv` to be cleared.
    base = getattr(sys, '_base_executable', sys.executable)
    command = [base, '-m', 'venv', '--clear', str(VENV)]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode != 0:
        raise SetupError(
            f'exit status {result.returncode} of: {" ".join(command)}\n{result.stdout.strip()}',
            f'apt install python{sys.version_info[0]}.{sys.version_info[1]}-venv',
        )


def pip(command: str, *arguments: str, progress: str = 'off') -> list[str]:
    """Returns a pip command on `.venv`."""
    options = ['--disable-pip-version-check', '--no-input', '--progress-bar', progress]
    return [str(VENV_PYTHON), '-m', 'pip', command, *options, *arguments]


def install_packages(pins: dict[str, str]) -> None:
    """Installs the pinned packages and OpenMMLab's pure Python ones."""
    run('installing pip', pip('install', f'pip=={pins["pip"]}'))
    if platform.machine() == 'x86_64' and not list(VENV.glob('lib/python*/site-packages/torch')):
        free = shutil.disk_usage(VENV).free / 1e9
        print(
            '[setup] torch for x86-64 comes with CUDA: about 3 GB to download, 8 GB on disk '
            f'({free:.0f} GB free); `make help` tells how to get a CPU-only one',
            flush=True,
        )
    locked = pip('install', '-r', 'requirements.txt', '-c', str(LOCK), progress='raw')
    run('installing packages', locked)
    # No build isolation: it would fetch another setuptools, unpinned.
    names = [f'{name}=={pins[name]}' for name in NO_DEPS]
    run('installing mmdet', pip('install', '--no-deps', '--no-build-isolation', *names))


def inspect_torch() -> dict[str, str | None]:
    """Returns torch's version, its CUDA version and the visible GPUs' architectures."""
    code = (
        'import json, torch; n = torch.cuda.device_count(); '
        "archs = {'%d.%d' % torch.cuda.get_device_capability(i) for i in range(n)}; "
        "print(json.dumps({'version': torch.__version__, 'cuda': torch.version.cuda, "
        "'archs': ';'.join(sorted(archs))}))"
    )
    result = subprocess.run([VENV_PYTHON, '-c', code], capture_output=True, text=True)
    if result.returncode != 0:
        raise SetupError(f'torch does not import:\n{result.stderr}', 'make setup FORCE=1')
    return dict(json.loads(result.stdout.splitlines()[-1]))


def build_environment(build: Build, archs: str) -> dict[str, str]:
    """Returns the environment variables that mmcv's build reads."""
    env = {
        'MMCV_WITH_OPS': '1',
        'CFLAGS': MMCV_CFLAGS,
        'MAX_JOBS': str(usable_jobs()),
        'PATH': f'{VENV_PYTHON.parent}{os.pathsep}{os.environ["PATH"]}',  # for ninja
    }
    if build.cuda_home is None:
        # Hidden, or mmcv would compile for a GPU it sees, without the toolkit.
        return {**env, 'FORCE_CUDA': '0', 'CUDA_VISIBLE_DEVICES': ''}
    env.update({'FORCE_CUDA': '1', 'CUDA_HOME': build.cuda_home})
    return {**env, 'TORCH_CUDA_ARCH_LIST': archs} if archs else env


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Holds a folder for this process alone, waiting for another that holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f'[setup] waiting for another set-up that uses {folder}', flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def fetch_source(requirement: str, work: Path) -> Path:
    """Downloads and unpacks the source of mmcv, unless an earlier run did."""
    source = work / 'source'
    if not source.exists():
        for leftover in ('download', 'unpacked'):
            shutil.rmtree(work / leftover, ignore_errors=True)
        options = ['--no-deps', '--no-build-isolation', '--no-binary', MMCV]
        run('fetching mmcv', pip('download', *options, '-d', str(work / 'download'), requirement))
        shutil.unpack_archive(next((work / 'download').iterdir()), work / 'unpacked')
        # Renamed last, so that `source` is whole whenever it exists.
        next((work / 'unpacked').iterdir()).rename(source)
    return source


def compile_mmcv(requirement: str, entry: Path, env: dict[str, str]) -> None:
    """Compiles mmcv into the cache folder `entry`.

    pip builds a folder in place, so object files outlive an interruption and ninja goes on from
    them. `entry` appears by a rename, complete.
    """
    work = entry.with_name(entry.name + '.build')
    with exclusive(work):
        if entry.exists():
            return
        source = fetch_source(requirement, work)
        wheels = work / 'wheels'
        shutil.rmtree(wheels, ignore_errors=True)
        command = pip('wheel', '-v', '--no-deps', '--no-build-isolation', '--no-cache-dir')
        note = 'once for this torch; 7 to 15 minutes on 2 cores'
        print(f'[setup] mmcv has no wheel for it: compiling, {note}', flush=True)
        command += ['-w', str(wheels), str(source)]
        run(f'compiling mmcv, {env["MAX_JOBS"]} at a time', command, env, ninja_status)
        wheels.rename(entry)
        shutil.rmtree(work)


def install_mmcv(pins: dict[str, str]) -> str:
    """Installs mmcv compiled against the installed torch and returns its cache folder."""
    torch = inspect_torch()
    build = choose_build(has_gpu(), find_toolkits(), torch['cuda'])
    if build.warning:
        print(f'[setup] WARNING: {build.warning}', flush=True)
    archs = os.environ.get('TORCH_CUDA_ARCH_LIST') or torch['archs'] or ''
    device = 'cpu'
    if build.cuda_home is not None:
        names = re.sub(r'[^\w.+]+', '_', archs or 'all')
        device = f'cuda{find_toolkits()[build.cuda_home]}-{names}'
    tag = f'cp{sys.version_info[0]}{sys.version_info[1]}'
    key = wheel_key(pins[MMCV], str(torch['version']), tag, platform.machine(), device)
    entry = wheel_cache() / key
    if entry.exists():
        print(f'[setup] mmcv was compiled before: {entry}', flush=True)
        if not install_wheel(entry):
            print('[setup] which does not load here: compiling it anew', flush=True)
    if not entry.exists():
        compile_mmcv(f'{MMCV}=={pins[MMCV]}', entry, build_environment(build, archs))
        if not install_wheel(entry):
            raise SetupError(f'mmcv compiled, but does not load; see {LOG}', 'make setup CXX=g++')
    return str(entry)


def install_wheel(entry: Path) -> bool:
    """Installs the mmcv in a cache folder; removes the folder and returns False if it is bad."""
    # Forced: the one installed may have the same version and be built for another torch.
    wheel = str(next(entry.glob('*.whl')))
    run('installing mmcv', pip('install', '--no-deps', '--force-reinstall', wheel))
    with contextlib.suppress(SetupError):
        run("loading mmcv's ops", [str(VENV_PYTHON), '-c', 'import mmcv.ops'])
        return True
    shutil.rmtree(entry)
    return False


def verify() -> None:
    """Imports what was installed, so that a set-up that says it is done is usable."""
    try:
        run('importing mmdet', [str(VENV_PYTHON), '-c', 'import cv2, torchvision, mmdet.apis'])
    except SetupError as error:
        raise SetupError(str(error), 'make setup FORCE=1') from None


def set_up(force: bool) -> None:
    """Brings `.venv` up to date, doing only what is not done yet."""
    expected = current_fingerprint()
    if not force and is_current(read_stamp(), expected):
        print('[setup] up to date', flush=True)
        return
    check_host()
    with exclusive(VENV):
        stamp = read_stamp()
        if not force and is_current(stamp, expected):
            return
        start = time.monotonic()
        print(f'[setup] into {VENV}; all output goes to {LOG}', flush=True)
        # Scripts in `.venv` name their folder, compiled packages their Python: neither moves.
        origin = json.dumps([str(ROOT), platform.python_version()])
        origin_file = VENV / '.mmgradaug-origin.json'
        same = origin_file.exists() and origin_file.read_text() == origin
        if force or not same:
            make_venv()
        origin_file.write_text(origin)
        STAMP.unlink(missing_ok=True)
        pins = read_pins(LOCK.read_text())
        install_packages(pins)
        entry = install_mmcv(pins)
        project = pip('install', '--no-deps', '--no-build-isolation', '-e', '.')
        run('installing mmgradaug', project)
        verify()
        note = {'fingerprint': expected, 'mmcv': entry, 'python': platform.python_version()}
        STAMP.write_text(json.dumps(note, indent=2) + '\n')
        print(f'[setup] ready after {clock(time.monotonic() - start)}', flush=True)


def main() -> int:
    """Runs the set-up; returns the exit status."""
    parser = argparse.ArgumentParser(description='Set up the virtual environment .venv.')
    parser.add_argument('--force', action='store_true', help='build .venv anew')
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        set_up(arguments.force)
    except SetupError as error:
        print(f'\nset-up failed: {error}\nTo mend it: {error.fix}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\nset-up interrupted; the same command goes on from here', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
