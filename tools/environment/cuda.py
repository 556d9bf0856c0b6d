"""GPUs, CUDA toolkits, and for which of them mmcv is to be built."""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple


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


def describe_toolkits(toolkits: dict[str, str]) -> str:
    """Names toolkits, given as from `find_toolkits`, for a person to read."""
    return ', '.join(f'{version} in {home}' for home, version in toolkits.items()) or 'none'


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
    return Build(
        None,
        f'there is a GPU, but mmcv is built for the CPU: torch needs a CUDA {torch_cuda} toolkit, '
        f'found {describe_toolkits(toolkits)}. Install it '
        '(https://developer.nvidia.com/cuda-toolkit-archive) and run `make setup` again',
    )
