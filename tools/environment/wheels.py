"""Where compiled mmcv wheels are kept, so that each is compiled once."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

# CFLAGS replaces Python's own flags, so the optimisation level has to be said: without -O2 the ops
# take three times as long. Without debug symbols the compilation takes a third of the time.
MMCV_CFLAGS = '-O2 -g0 -DNDEBUG'


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


def is_for_torch(entry: str, torch: str) -> bool:
    """Whether a cache entry holds an mmcv that was compiled for a version of torch."""
    return f'-torch{torch}-' in entry


def wheel_cache() -> Path:
    """Returns the folder of compiled mmcv wheels, shared by all checkouts of a user."""
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base, 'mmgradaug', 'wheels')
