"""The note that a finished set-up leaves, which says for which inputs it was done."""

from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path
from typing import Any

from .cuda import find_toolkits, has_gpu
from .stack import REQUIREMENTS, ROOT, Stack


def fingerprint(inputs: dict[str, bytes]) -> str:
    """Returns a hash of everything an environment depends on, but for GPUs.

    Args:
        inputs: Contents of the files that say what is installed, by name.
    """
    facts = [platform.python_version(), platform.machine(), str(ROOT)]
    digest = hashlib.sha256(json.dumps(facts).encode())
    for name, content in sorted(inputs.items()):
        digest.update(f'\0{name}\0{len(content)}\0'.encode() + content)
    return digest.hexdigest()


def input_files(stack: Stack) -> list[Path]:
    """Lists the files that say what is installed and how."""
    code = [ROOT / 'tools' / 'setup_env.py', *sorted(Path(__file__).parent.glob('*.py'))]
    return [*stack.locks, REQUIREMENTS, ROOT / 'setup.py', *code]


def current_fingerprint(stack: Stack) -> str:
    """Returns the fingerprint of this checkout on this machine."""
    return fingerprint({str(p.relative_to(ROOT)): p.read_bytes() for p in input_files(stack)})


def cuda_here() -> dict[str, str] | None:
    """Returns the CUDA toolkits that mmcv may be compiled with, by home; None without a GPU."""
    return find_toolkits() if has_gpu() else None


def stamp_file(stack: Stack) -> Path:
    """Returns where an environment keeps its stamp."""
    return stack.folder / '.mmgradaug-setup.json'


def write_stamp(stack: Stack, expected: str, mmcv: str, cuda: dict[str, str] | None) -> None:
    """Notes down that the environment is complete.

    Args:
        stack: What was installed.
        expected: The fingerprint from before the first step.
        mmcv: The cache folder of the mmcv that was installed.
        cuda: Toolkits from before the first step, as from `cuda_here`.
    """
    note = {'fingerprint': expected, 'mmcv': mmcv, 'cuda': cuda}
    note['python'] = platform.python_version()
    stamp_file(stack).write_text(json.dumps(note, indent=2) + '\n')


def read_stamp(stamp: Path) -> dict[str, Any]:
    """Returns what the finished set-up noted down, or nothing if none was finished."""
    try:
        return dict(json.loads(stamp.read_text()))
    except (OSError, ValueError):
        return {}


def is_current(
    stamp: dict[str, Any], expected: str, python: Path, cuda: dict[str, str] | None
) -> bool:
    """Whether the set-up that left `stamp` needs no doing again.

    A machine without GPU takes what one with a GPU has built: on a cluster both see the same
    folder, and the CPU's build would replace the other one under running jobs.
    """
    fits = cuda is None or stamp.get('cuda') == cuda
    return stamp.get('fingerprint') == expected and python.exists() and fits
