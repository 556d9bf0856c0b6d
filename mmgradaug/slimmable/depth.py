"""Run a network without some of its residual blocks.

Sub-networks may be shallower instead of narrower (GradAug, section 4.3, table 6). Which blocks
they keep follows the law of "Deep Networks with Stochastic Depth" (Huang et al., ECCV 2016).
"""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .width import own_statistics


class SkippableBlock(nn.Module):
    """Residual block that a sub-network may leave out; its shortcut then stands alone.

    A subclass implements :meth:`residual` and :meth:`shortcut`.
    """

    survival = 1.0  # probability with which a random sub-network keeps the block
    expected = False  # whether evaluation multiplies the residual branch by it
    stochastic = False  # whether training of the full network leaves the block out at random
    kept: bool | None = None  # whether the active sub-network has it; None outside `at_depth`

    residual: Callable[[Tensor], Tensor]  # the branch with the block's layers (N, C_out, H', W')
    shortcut: Callable[[Tensor], Tensor]  # the branch that always stays (N, C_out, H', W')

    def forward(self, x: Tensor) -> Tensor:
        """Return the ReLU of the sum of both branches of ``x`` (N, C_in, H, W), or of one."""
        weight = self.branch_weight()
        # Where each process leaves out blocks of its own, all still meet in synchronised BatchNorm.
        synced = (m for m in self.modules() if isinstance(m, nn.SyncBatchNorm))
        if weight == 0 and (self.kept is not None or next(synced, None) is None):
            # Parameters stay in the graph, with zero gradients as those of silent channels:
            # several processes reduce gradients of every parameter in the last pass.
            trained = [p for p in self.parameters() if p.requires_grad and self.training]
            return F.relu(sum(p.flatten()[:0].sum() for p in trained) + self.shortcut(x))
        residual = self.residual(x)
        return F.relu((residual if weight == 1 else weight * residual) + self.shortcut(x))

    def branch_weight(self) -> float:
        """Return what the residual branch is multiplied by in this pass."""
        if self.kept is not None:
            return float(self.kept)
        if self.training:
            return float(not self.stochastic or bool(torch.rand(()) < self.survival))
        return self.survival if self.expected else 1.0


def skippable_blocks(model: nn.Module) -> list[SkippableBlock]:
    """Return the blocks of ``model`` that a sub-network may leave out, from input to output."""
    return [module for module in model.modules() if isinstance(module, SkippableBlock)]


def linear_survival(blocks: int, last: float, keep_first: bool = False) -> list[float]:
    """Return survival probabilities that fall linearly with depth (Huang et al., equation 4).

    Of L ``blocks``, p_l = 1 - l/L (1 - p_L), down to p_L of the ``last`` one; with ``keep_first``
    the line starts at the first block instead of the input, so that this always survives.
    """
    if keep_first:
        return [1 - index / max(1, blocks - 1) * (1 - last) for index in range(blocks)]
    return [1 - index / blocks * (1 - last) for index in range(1, blocks + 1)]


def draw_depth(model: nn.Module, seed: int) -> tuple[bool, ...]:
    """Draw which blocks a sub-network keeps, each with its survival probability."""
    generator = random.Random(seed)
    return tuple(generator.random() < block.survival for block in skippable_blocks(model))


@contextmanager
def at_depth(model: nn.Module, kept: Sequence[bool]) -> Iterator[nn.Module]:
    """Run ``model`` as the sub-network that has only some of its residual blocks.

    The blocks it has weigh 1, in evaluation mode too. BatchNorm behaves as in
    :func:`~mmgradaug.slimmable.width.at_width`, which can be combined with this.

    Args:
        model: Any module with skippable blocks somewhere inside.
        kept: For each of them, from input to output, whether the sub-network has it.

    Raises:
        ValueError: If ``kept`` has not one entry per block.
    """
    blocks = skippable_blocks(model)
    before = [block.kept for block in blocks]
    with own_statistics(model):
        try:
            for block, keep in zip(blocks, kept, strict=True):
                block.kept = bool(keep)
            yield model
        finally:
            for block, value in zip(blocks, before, strict=True):
                block.kept = value
