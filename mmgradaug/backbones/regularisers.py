"""Noise inside residual networks: the structure regularisation that GradAug is compared with.

Tables 1 and 3 of the paper. A sub-network is regularised as the full network is: each pass draws
its own noise, for the channels it has. All are silent in evaluation, but for ShakeDrop, which
weighs residual branches by what it expects of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.logging import MessageHub
from torch import Tensor, nn
from torch.autograd import Function
from torchvision.ops import DropBlock2d, StochasticDepth, drop_block2d, stochastic_depth

from ..errors import ConfigError
from ..slimmable import linear_survival


class ShakeDrop(nn.Module):
    """ShakeDrop (Yamada et al., IEEE Access 2019): random weights of a residual branch.

    The branch is multiplied by b + a - ba in the forward pass, its gradient by b + c - bc in the
    backward pass, and in evaluation the branch by the mean of the first. b is 1 with probability
    ``survival`` and otherwise 0, drawn once per batch as in stochastic depth (AutoAugment's code
    draws it for each image); a and c are uniform, drawn for each image.

    Args:
        survival: Probability that the branch is left as it is.
        alpha: Range of a.
        beta: Range of c.
    """

    def __init__(
        self,
        survival: float = 0.5,
        alpha: Sequence[float] = (-1.0, 1.0),
        beta: Sequence[float] = (0.0, 1.0),
    ) -> None:
        super().__init__()
        self.survival = survival
        self.alpha = tuple(alpha)
        self.beta = tuple(beta)

    def forward(self, residual: Tensor) -> Tensor:
        """Weigh a branch (N, C, H, W)."""
        if not self.training:
            mean = self.survival + (1 - self.survival) * sum(self.alpha) / 2
            return mean * residual
        if torch.rand(()) < self.survival:
            return residual
        weights = (
            residual.new_empty(len(residual), 1, 1, 1).uniform_(*range_)
            for range_ in (self.alpha, self.beta)
        )
        return _Weighed.apply(residual, *weights)


class _Weighed(Function):
    """One weight in the forward pass, another in the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, forward_weight: Tensor, backward_weight: Tensor) -> Tensor:
        ctx.save_for_backward(backward_weight)
        return x * forward_weight

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        (weight,) = ctx.saved_tensors
        return gradient * weight, None, None


class DropPath(StochasticDepth):
    """torchvision's StochasticDepth on each image, its probability rising over training.

    ``p`` is the probability that an image's branch is left out; those that are kept are scaled up.
    ``ramp`` is as of :class:`DropBlock`.
    """

    def __init__(self, p: float, ramp: bool = False) -> None:
        super().__init__(p, 'row')
        self.ramp = ramp

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Leave out the branches (N, C, H, W) of some images."""
        return stochastic_depth(x, _ramped(self.p, self.ramp), self.mode, self.training)


class DropBlock(DropBlock2d):
    """torchvision's DropBlock on maps of every size, its probability rising over training.

    On maps smaller than the block, and on those of rescaled images, the block is the largest of
    odd size that fits: torchvision takes no even ones.

    Args:
        p: Share of values that are dropped.
        block_size: Side of the blocks.
        ramp: Whether ``p`` rises linearly from 0 in the first iteration of a run towards its value
            at the end, as its authors train; outside of a run it has its value.
    """

    def __init__(self, p: float, block_size: int = 7, ramp: bool = False) -> None:
        super().__init__(p, block_size)
        self.ramp = ramp

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Drop blocks of ``x`` (N, C, H, W), and scale up what is left."""
        if not self.training:
            return x
        fits = min(self.block_size, *x.shape[-2:])
        # torchvision counts what it keeps in this type, and half precision ends at 65504.
        values = x.float() if x.dtype == torch.half else x
        return drop_block2d(values, _ramped(self.p, self.ramp), fits - (fits + 1) % 2).to(x.dtype)


def _ramped(p: float, ramp: bool) -> float:
    """Return a probability, with ``ramp`` the share of it that the run has reached, if any."""
    info = MessageHub.get_current_instance().runtime_info
    iterations = info.get('max_iters')
    return p * min(1.0, info.get('iter', 0) / iterations) if ramp and iterations else p


def branch_regularisers(cfg: Mapping[str, Any], stages: Sequence[int]) -> list[nn.Module]:
    """Return what acts on the end of each residual branch, before it is added to the shortcut.

    Args:
        cfg: ``dict(type='StochasticDepth', survival=0.5)``: torchvision's, branches of a batch are
            left out with probabilities that rise linearly with depth, ``survival`` of the last
            block; it scales kept ones up in training, its authors all down in evaluation.
            ``dict(type='DropPath', survival=0.9, ramp=False)``: of each image, at one rate or one
            for each stage, see :class:`DropPath`.
            ``dict(type='ShakeDrop', survival=0.5, alpha=(-1, 1), beta=(0, 1))``: see
            :class:`ShakeDrop`, ``survival`` of the last block, with the law of StochasticDepth.
        stages: Residual blocks of each stage of the network.

    Returns:
        One module per block, from input to output.
    """
    options = dict(cfg)
    kind = options.pop('type')
    survival = options.pop('survival', 0.9 if kind == 'DropPath' else 0.5)
    if kind == 'DropPath':
        each = [survival] * len(stages) if isinstance(survival, (int, float)) else survival
        rates = zip(each, stages, strict=True)
        return [DropPath(1 - kept, **options) for kept, blocks in rates for _ in range(blocks)]
    law = linear_survival(sum(stages), survival)
    if kind == 'StochasticDepth':
        return [StochasticDepth(1 - kept, 'batch', **options) for kept in law]
    if kind == 'ShakeDrop':
        return [ShakeDrop(kept, **options) for kept in law]
    raise ConfigError(
        f'model.backbone.regulariser={cfg!r}, expected a type of StochasticDepth, DropPath and '
        'ShakeDrop (or, in ResNets, DropBlock)'
    )
