"""What the residual networks for small images share."""

from __future__ import annotations

from itertools import pairwise
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

    The second and the third stage halve the image.

    Args:
        block: Class of the blocks, called with input channels, output channels, stride,
            ``conv_cfg``, ``norm_cfg`` and the options.
        channels: Output channels of every block, a third of them for each stage.
        in_channels: Channels of the images.
        conv_cfg: Config of the convolutions; None is ``nn.Conv2d``.
        norm_cfg: Config of the normalisations; None is BatchNorm.
        init_cfg: Initialisation; None is He's by outgoing connections.
        stem_norm: Whether BatchNorm follows the first convolution.
        regulariser: Config of what acts on the end of each block's branch, see
            :func:`~mmgradaug.backbones.regularisers.branch_regularisers`; None is nothing.
        **options: The blocks' own.
    """

    def __init__(
        self,
        block: type[nn.Module],
        channels: list[int],
        in_channels: int = 3,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        init_cfg: Any = None,
        stem_norm: bool = True,
        regulariser: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(INIT_CFG if init_cfg is None else init_cfg)
        self.conv1: Any = conv(conv_cfg, in_channels, STEM_CHANNELS, 3)
        if stem_norm:
            self.bn1: Any = norm(norm_cfg, STEM_CHANNELS)
        each = len(channels) // 3
        blocks: list[Any] = [
            block(
                before,
                after,
                2 if index in (each, 2 * each) else 1,
                conv_cfg=conv_cfg,
                norm_cfg=norm_cfg,
                **options,
            )
            for index, (before, after) in enumerate(pairwise([STEM_CHANNELS, *channels]))
        ]
        self.layer1, self.layer2, self.layer3 = (
            nn.Sequential(*blocks[start : start + each]) for start in (0, each, 2 * each)
        )
        if regulariser is not None:
            noises = branch_regularisers(regulariser, [each] * 3)
            for residual_block, noise in zip(blocks, noises, strict=True):
                residual_block.regulariser = noise

    @property
    def out_channels(self) -> int:
        """Channels of the features; the full network's at any width."""
        modules: list[Any] = [m for m in self.layer3[-1].modules() if hasattr(m, 'out_channels')]
        return modules[-1].out_channels

    def run_stages(self, x: Tensor) -> Tensor:
        """Map what the first convolution gave (N, 16, H, W) to (N, C, H / 4, W / 4)."""
        return self.layer3(self.layer2(self.layer1(x)))


def conv(
    cfg: dict | None, in_channels: int, channels: int, kernel: int, stride: int = 1
) -> nn.Conv2d:
    """Return a convolution without bias that keeps the size of its input, but for the stride."""
    return build_conv_layer(
        cfg, in_channels, channels, kernel, stride=stride, padding=kernel // 2, bias=False
    )


def norm(cfg: dict | None, channels: int) -> nn.Module:
    """Return a normalisation layer, BatchNorm unless the config says otherwise."""
    return build_norm_layer({'type': 'BN'} if cfg is None else cfg, channels)[1]


def padded_shortcut(x: Tensor, channels: int, stride: int, average: bool = False) -> Tensor:
    """Return a shortcut without parameters: fewer pixels, and silent channels after the own ones.

    From (N, C, H, W) it makes (N, channels, ceil(H / stride), ceil(W / stride)); of the pixels that
    become one the first stays, or their ``average``. The own channels come first, so a
    sub-network's shortcut is the first channels of the full network's.
    """
    if stride > 1:
        x = F.avg_pool2d(x, stride, ceil_mode=True) if average else x[..., ::stride, ::stride]
    return pad_channels(x, channels)


def blocks_per_stage(depth: int, layers: int, others: int) -> int:
    """Return the residual blocks in each of three stages of a network of ``depth`` layers.

    Three blocks have so many ``layers``; ``others`` are outside of blocks, as the paper counts.
    """
    blocks, rest = divmod(depth - others, layers)
    if rest or blocks < 1:
        raise ValueError(f'depth={depth!r}, expected {layers}n+{others} with a whole n >= 1')
    return blocks
