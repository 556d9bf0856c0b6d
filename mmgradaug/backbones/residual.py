"""What the residual networks for small images share."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch.nn.functional as F
from mmcv.cnn import build_conv_layer, build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..slimmable import pad_channels
from .regularisers import branch_regularisers

STEM_CHANNELS = 16  # of all these networks' first convolution, in their papers

# He's initialisation by outgoing connections, as the networks' authors have it.
INIT_CFG = [
    {'type': 'Kaiming', 'layer': 'Conv2d'},
    {'type': 'Constant', 'layer': 'BatchNorm2d', 'val': 1},
]


class StagedNetwork(BaseModule):
    """A convolution and three stages of residual blocks; what follows is the subclass's.

    Args:
        block: Class of the blocks, called with input channels, output channels, stride,
            ``conv_cfg``, ``norm_cfg`` and the options.
        channels: Output channels of every block, a third of them for each stage.
        in_channels: Channels of the images.
        conv_cfg: Config of the convolutions.
        norm_cfg: Config of the normalisations.
        init_cfg: Initialisation; None is :data:`INIT_CFG`.
        stem_norm: Whether BatchNorm follows the first convolution.
        regulariser: Config of what acts on the end of each block's branch, see
            :func:`~mmgradaug.backbones.regularisers.branch_regularisers`: it replaces the
            blocks' own ``regulariser``. None leaves that alone.
        **options: The blocks' own.
    """

    def __init__(
        self,
        block: type[nn.Module],
        channels: list[int],
        in_channels: int,
        conv_cfg: dict | None,
        norm_cfg: dict | None,
        init_cfg: Any,
        stem_norm: bool = True,
        regulariser: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(INIT_CFG if init_cfg is None else init_cfg)
        make = partial(block, conv_cfg=conv_cfg, norm_cfg=norm_cfg, **options)
        self.conv1: Any = conv(conv_cfg, in_channels, STEM_CHANNELS, 3)
        if stem_norm:
            self.bn1: Any = norm(norm_cfg, STEM_CHANNELS)
        self.layer1, self.layer2, self.layer3 = stages(make, channels, STEM_CHANNELS)
        if regulariser is not None:
            layers = (self.layer1, self.layer2, self.layer3)
            noises = branch_regularisers(regulariser, [len(layer) for layer in layers])
            blocks: list[Any] = [block for layer in layers for block in layer]
            for each, noise in zip(blocks, noises, strict=True):
                each.regulariser = noise

    def run_stages(self, x: Tensor) -> Tensor:
        """Map what the first convolution gave (N, 16, H, W) to (N, C, H / 4, W / 4)."""
        return self.layer3(self.layer2(self.layer1(x)))


def conv(
    cfg: dict | None, in_channels: int, channels: int, kernel: int, stride: int = 1
) -> nn.Conv2d:
    """A convolution without bias that keeps the size of its input, but for the stride."""
    return build_conv_layer(
        cfg, in_channels, channels, kernel, stride=stride, padding=kernel // 2, bias=False
    )


def norm(cfg: dict | None, channels: int) -> nn.Module:
    """A normalisation layer; BatchNorm unless the config says otherwise."""
    return build_norm_layer({'type': 'BN'} if cfg is None else cfg, channels)[1]


def padded_shortcut(x: Tensor, channels: int, stride: int, average: bool = False) -> Tensor:
    """A shortcut without parameters: fewer pixels, and silent channels after the own ones.

    The own channels come first, so a sub-network's shortcut is the first channels of the full
    network's: its input's channels, then silent ones up to its own block's output.

    Args:
        x: (N, C, H, W).
        channels: Of the result, at least C.
        stride: Pixels to one in both directions.
        average: Whether they are averaged; otherwise the first of them stays.

    Returns:
        (N, channels, ceil(H / stride), ceil(W / stride)).
    """
    if stride > 1:
        x = F.avg_pool2d(x, stride, ceil_mode=True) if average else x[..., ::stride, ::stride]
    return pad_channels(x, channels)


def stages(
    block: Callable[[int, int, int], nn.Module], blocks: list[int], in_channels: int
) -> list[nn.Sequential]:
    """Three stages of residual blocks; the second and the third halve the image.

    Args:
        block: Makes one from its input channels, output channels and stride.
        blocks: Output channels of every block, a third of them for each stage.
        in_channels: Channels that enter the first.
    """
    each = len(blocks) // 3
    inputs = [in_channels, *blocks]
    return [
        nn.Sequential(
            *(
                block(inputs[index], blocks[index], 2 if index == start > 0 else 1)
                for index in range(start, start + each)
            )
        )
        for start in (0, each, 2 * each)
    ]


def blocks_a_stage(network: str, depth: Any, layers: int, others: int) -> int:
    """Residual blocks in each of three stages.

    Args:
        network: The network's name, for the error.
        depth: Layers of the whole network.
        layers: Convolutions of three blocks.
        others: Layers outside of blocks, as the network's paper counts them.

    Raises:
        ValueError: If no whole number of blocks gives this depth.
    """
    is_whole = isinstance(depth, int) and not isinstance(depth, bool)
    if not is_whole or depth < layers + others or (depth - others) % layers:
        near = max(1, round((depth - others) / layers)) if is_whole else 3
        raise ValueError(
            f'depth={depth!r} is no {network}, expected {layers}n+{others} with a whole n >= 1: '
            f'for example {layers * near + others}'
        )
    return (depth - others) // layers


def require_positive(name: str, value: Any, example: float) -> None:
    """Raise a ValueError unless an option is a finite number above 0."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 < value < math.inf:
        raise ValueError(f'{name} must be a number above 0, got {value!r}: for example {example:g}')
