"""What the residual networks for small images share."""

from functools import partial
from itertools import pairwise
from typing import Any

from mmcv.cnn import build_conv_layer, build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from .regularisers import branch_regularisers

STEM_CHANNELS = 16  # of all these networks' first convolution, in their papers


class StagedNetwork(BaseModule):
    """A convolution and three stages of residual blocks; what follows is the subclass's.

    The second and the third stage halve the image.

    Args:
        block: Class of the blocks, called with input channels, output channels, stride,
            :func:`build_conv` and :func:`build_norm` for the configs, and the options.
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
        # He's initialisation by outgoing connections, as the networks' authors have it.
        super().__init__({'type': 'Kaiming', 'layer': 'Conv2d'} if init_cfg is None else init_cfg)
        conv, norm = partial(build_conv, conv_cfg), partial(build_norm, norm_cfg)
        self.conv1: Any = conv(in_channels, STEM_CHANNELS, 3)
        if stem_norm:
            self.bn1: Any = norm(STEM_CHANNELS)
        each = len(channels) // 3
        blocks: list[Any] = []
        for before, after in pairwise([STEM_CHANNELS, *channels]):
            stride = 2 if len(blocks) in (each, 2 * each) else 1
            blocks.append(block(before, after, stride, conv, norm, **options))
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


def build_conv(
    cfg: dict | None, in_channels: int, channels: int, kernel: int, stride: int = 1
) -> nn.Conv2d:
    """Return a convolution without bias that keeps the size of its input, but for the stride."""
    return build_conv_layer(
        cfg, in_channels, channels, kernel, stride=stride, padding=kernel // 2, bias=False
    )


def build_norm(cfg: dict | None, channels: int) -> nn.Module:
    """Return a normalisation layer, BatchNorm unless the config says otherwise."""
    return build_norm_layer({'type': 'BN'} if cfg is None else cfg, channels)[1]


def blocks_per_stage(depth: int, layers: int, others: int) -> int:
    """Return the residual blocks in each of three stages of a network of ``depth`` layers.

    Three blocks have so many ``layers``; ``others`` are outside of blocks, as the paper counts.
    """
    blocks, rest = divmod(depth - others, layers)
    if rest or blocks < 1:
        raise ValueError(f'depth={depth!r}, expected {layers}n+{others} with a whole n >= 1')
    return blocks
