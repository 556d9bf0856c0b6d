"""The note that a finished set-up leaves, which says for which inputs it was done."""

from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path

from .cuda import find_toolkits, has_gpu
from .stack import REQUIREMENTS, ROOT, Stack


def fingerprint(inputs: dict[str, bytes], cuda: dict[str, str]) -> str:
    """Returns a hash of everything an environment depends on.

    Args:
        inputs: Contents of the files that say what is installed, by name.
        cuda: Toolkits that mmcv may be compiled with; empty without a GPU.
    """
    facts = [platform.python_version(), platform.machine(), str(ROOT), sorted(cuda.items())]
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
    inputs = {str(path.relative_to(ROOT)): path.read_bytes() for path in input_files(stack)}
    return fingerprint(inputs, find_toolkits() if has_gpu() else {})


def stamp_file(stack: Stack) -> Path:
    """Returns where an environment keeps its stamp."""
    return stack.folder / '.mmgradaug-setup.json'


def write_stamp(stack: Stack, expected: str, mmcv: str) -> None:
    """Notes down that the environment is complete.

    Args:
        stack: What was installed.
        expected: The fingerprint from before the first step.
        mmcv: The cache folder of the mmcv that was installed.
    """
    note = {'fingerprint': expected, 'mmcv': mmcv, 'python': platform.python_version()}
    stamp_file(stack).write_text(json.dumps(note, indent=2) + '\n')


def read_stamp(stamp: Path) -> dict[str, str]:
    """Returns what the finished set-up noted down, or nothing if none was finished."""
    try:
        return dict(json.loads(stamp.read_text()))
    except (OSError, ValueError):
        return {}


def is_current(stamp: dict[str, str], expected: str, python: Path) -> bool:
    """Whether the set-up that left `stamp` needs no doing again."""
    return stamp.get('fingerprint') == expected and python.exists()
