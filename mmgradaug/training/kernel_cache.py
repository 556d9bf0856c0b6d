"""Room for the kernels of all shapes that sub-networks ask for, on the CPU.

oneDNN builds a kernel for every new shape of a convolution and keeps the newest 1,024. Sub-networks
of a few widths and scales ask for more than that, in forward and backward together, and would build
them again and again.
"""

from __future__ import annotations

import os

CAPACITY = 8192
VARIABLES = ('ONEDNN_PRIMITIVE_CACHE_CAPACITY', 'DNNL_PRIMITIVE_CACHE_CAPACITY')


def keep_kernels() -> None:
    """Let oneDNN keep :data:`CAPACITY` kernels, unless the environment says how many.

    oneDNN looks when it runs for the first time in a process; afterwards this has no effect.
    """
    if not any(name in os.environ for name in VARIABLES):
        os.environ[VARIABLES[0]] = str(CAPACITY)
