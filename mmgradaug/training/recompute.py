"""Trade time for memory: run a network's blocks again in the backward pass."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint


@contextmanager
def recomputing(model: nn.Module) -> Iterator[None]:
    """Keep no activations inside residual blocks; the backward pass computes them again.

    The gradients of earlier passes are alive while a sub-network runs, four bytes a parameter.
    A sub-network on images as large as the full network's would so need more memory than plain
    training does. Outputs and gradients stay what they are, bit by bit.

    Blocks are the modules with mmdet's switch for the same thing, ``with_cp``, and those of other
    networks that have the attribute ``recomputable``, set. Left alone are those that have the
    switch on already, and those on which someone put a ``forward`` of its own. Other than
    mmdet's, this way works under every setting of torch's DistributedDataParallel. Forward belongs
    inside, backward may come after.
    """
    blocks = [m for m in model.modules() if _is_block(m) and 'forward' not in vars(m)]
    try:
        for block in blocks:
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)
        yield
    finally:
        for block in blocks:
            vars(block).pop('forward', None)


def _is_block(module: nn.Module) -> bool:
    """Return whether a module is a block that is not recomputed already and holds no such block."""
    if getattr(module, 'recomputable', False):
        return True
    if getattr(module, 'with_cp', None) is not False:
        return False
    return not any(hasattr(m, 'with_cp') for m in module.modules() if m is not module)
