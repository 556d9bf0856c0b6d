"""Noise inside residual networks: the structure regularisation that GradAug is compared with.

Tables 1 and 3 of the paper. A sub-network is regularised as the full network is: each pass draws
its own noise, for the channels it has. All are silent in evaluation, but for ShakeDrop, which
weighs residual branches by what it expects of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from mmengine.logging import MessageHub
from torch import Tensor, nn
from torch.autograd import Function
from torchvision.ops import DropBlock2d, StochasticDepth, drop_block2d

from ..slimmable import linear_survival


class ShakeDrop(nn.Module):
    """Weighs a residual branch at random, otherwise in the backward than in the forward pass.

    ShakeDrop (Yamada et al., IEEE Access 2019): the branch is multiplied by b + a - ba in the
    forward pass, its gradient by b + c - bc in the backward pass, and in evaluation the branch
    by the mean of the first. b is 1 with probability ``survival`` and otherwise 0, drawn once a
    batch; a and c are uniform, drawn for each image.

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

    @property
    def expected(self) -> float:
        """Mean weight of the branch in training, its weight in evaluation."""
        return self.survival + (1 - self.survival) * sum(self.alpha) / 2

    def forward(self, residual: Tensor) -> Tensor:
        """Weigh a branch (N, C, H, W)."""
        if not self.training:
            return self.expected * residual
        if torch.rand(()) < self.survival:
            return residual
        weights = (
            residual.new_empty(len(residual), 1, 1, 1).uniform_(*range_)
            for range_ in (self.alpha, self.beta)
        )
        return _Weighed.apply(residual, *weights)

    def extra_repr(self) -> str:
        """The options, as in a config."""
        return f'survival={self.survival:.4g}, alpha={self.alpha}, beta={self.beta}'


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

    def __init__(self, p: float, block_size: int, ramp: bool = False) -> None:
        super().__init__(p, block_size)
        self.ramp = ramp

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Drop blocks of ``x`` (N, C, H, W), and scale up what is left."""
        if not self.training:
            return x
        fits = min(self.block_size, *x.shape[-2:])
        return drop_block2d(x, self.p * (_progress() if self.ramp else 1), fits - (fits + 1) % 2)


def _progress() -> float:
    """Share of the run's iterations that are done; 1 outside of a run."""
    info = MessageHub.get_current_instance().runtime_info
    iterations = info.get('max_iters')
    return min(1.0, info.get('iter', 0) / iterations) if iterations else 1.0


def _stochastic_depth(blocks: int, survival: float = 0.5) -> list[nn.Module]:
    """Whole branches, the deeper the rather; a draw holds for the batch (Huang et al. 2016)."""
    return [StochasticDepth(1 - kept, 'batch') for kept in linear_survival(blocks, survival)]


def _drop_path(blocks: int, survival: float = 0.9) -> list[nn.Module]:
    """Whole branches, of each image and everywhere at the same rate."""
    return [StochasticDepth(1 - survival, 'row') for _ in range(blocks)]


def _shake_drop(blocks: int, survival: float = 0.5, **ranges: Any) -> list[nn.Module]:
    """ShakeDrop, the deeper the more often."""
    return [ShakeDrop(kept, **ranges) for kept in linear_survival(blocks, survival)]


BRANCHES: dict[str, tuple[Callable[..., list[nn.Module]], tuple[str, ...]]] = {
    'StochasticDepth': (_stochastic_depth, ('survival',)),
    'DropPath': (_drop_path, ('survival',)),
    'ShakeDrop': (_shake_drop, ('survival', 'alpha', 'beta')),
}


def branch_regularisers(cfg: Any, blocks: int) -> list[nn.Module]:
    """What acts on the end of each residual branch, before it is added to the shortcut.

    Args:
        cfg: ``dict(type='StochasticDepth', survival=0.5)``: torchvision's, branches of a batch are
            left out with probabilities that rise linearly with depth, ``survival`` of the last
            block. ``dict(type='DropPath', survival=0.9)``: of each image, at one rate.
            ``dict(type='ShakeDrop', survival=0.5, alpha=(-1, 1), beta=(0, 1))``: see
            :class:`ShakeDrop`, ``survival`` of the last block, with the same law.
        blocks: Residual blocks of the network.

    Returns:
        One module a block, from input to output.

    Raises:
        ValueError: If there is no such type or option, or a number is out of its range.
    """
    options = dict(cfg) if isinstance(cfg, Mapping) else {}
    kind = options.pop('type', None)
    build, known = BRANCHES.get(kind, (None, ())) if isinstance(kind, str) else (None, ())
    survival = options.get('survival', 1.0)
    ranges = (options.get('alpha', (-1, 1)), options.get('beta', (0, 1)))
    if (
        build is None
        or not set(options) <= set(known)
        or not (_is_number(survival) and 0 < survival <= 1)
        or not all(map(_is_range, ranges))
    ):
        raise ValueError(
            f'model.backbone.regulariser={cfg!r}, expected a type of {sorted(BRANCHES)} with '
            'survival in (0, 1], or ShakeDrop also with ranges alpha and beta: for example '
            "dict(type='ShakeDrop', survival=0.5, alpha=(-1, 1), beta=(0, 1))"
        )
    return build(blocks, **options)


def drop_blocks(cfg: Mapping[str, Any], stages: int) -> list[Callable[[], DropBlock] | None]:
    """What acts on every normalised map and shortcut of each stage.

    Args:
        cfg: ``dict(type='DropBlock', drop=(0, 0, 0.025, 0.1), block_size=7, ramp=True)``, with the
            share of values to drop for each stage; see :class:`DropBlock`.
        stages: Stages of the network.

    Returns:
        What makes one for each stage, None where nothing is dropped.

    Raises:
        ValueError: If an option is unknown or out of its range.
    """
    options = {k: v for k, v in cfg.items() if k != 'type'}
    drops, size = options.pop('drop', None), options.pop('block_size', 7)
    ramp = options.pop('ramp', False)
    if (
        options
        or not isinstance(drops, (list, tuple))
        or len(drops) != stages
        or not all(_is_number(drop) and 0 <= drop < 1 for drop in drops)
        or not (isinstance(size, int) and size > 0 and size % 2)
        or not isinstance(ramp, bool)
    ):
        raise ValueError(
            f'model.backbone.regulariser={cfg!r}, expected drop in [0, 1) for each of {stages} '
            'stages, an odd block_size and ramp True or False: for example '
            "dict(type='DropBlock', drop=(0, 0, 0.025, 0.1), block_size=7, ramp=True)"
        )
    return [partial(DropBlock, drop, size, ramp) if drop else None for drop in drops]


def _is_number(value: Any) -> bool:
    """Whether a value is a real number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_range(value: Any) -> bool:
    """Whether a value is a lower and an upper bound."""
    pair = isinstance(value, (list, tuple)) and len(value) == 2
    return pair and all(map(_is_number, value)) and value[0] <= value[1]
