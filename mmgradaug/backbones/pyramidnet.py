"""Deep pyramidal residual networks (Han et al., CVPR 2017), plain and slimmable."""

from typing import Any

import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..slimmable import pad_channels
from ..slimmable.channels import round_half_up
from .mixin import SlimmableMixin
from .residual import STEM_CHANNELS, StagedNetwork, blocks_per_stage, build_norm

EXPANSION = 4  # output channels of a bottleneck to those of its middle


class PyramidBlock(nn.Module):
    """BatchNorm before each convolution and after the last; ReLU between; padded shortcut.

    A ``bottleneck`` is a 1 x 1, a 3 x 3 and a 1 x 1 convolution, otherwise there are two of 3 x 3.
    """

    recomputable = True

    def __init__(
        self, in_channels: int, channels: int, stride: int, conv: Any, norm: Any, bottleneck: bool
    ) -> None:
        super().__init__()
        middle = channels // EXPANSION if bottleneck else channels
        kernels = [(1, 1), (3, stride), (1, 1)] if bottleneck else [(3, stride), (3, 1)]
        widths = [in_channels, *[middle] * (len(kernels) - 1), channels]
        self.stride = stride
        self.layers = len(kernels)
        for index, (kernel, step) in enumerate(kernels):
            before, after = widths[index], widths[index + 1]
            self.add_module(f'bn{index + 1}', norm(before))
            self.add_module(f'conv{index + 1}', conv(before, after, kernel, step))
        self.add_module(f'bn{self.layers + 1}', norm(channels))
        self.regulariser: nn.Module = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``x`` (N, C_in, H, W) to (N, C, H / stride, W / stride)."""
        out = x
        for index in range(1, self.layers + 1):
            out = getattr(self, f'bn{index}')(out)
            out = getattr(self, f'conv{index}')(out if index == 1 else F.relu(out))
        out = self.regulariser(getattr(self, f'bn{self.layers + 1}')(out))
        if self.stride > 1:
            x = F.avg_pool2d(x, self.stride, ceil_mode=True)
        return out + pad_channels(x, out.size(1))


@MODELS.register_module()
class PyramidNet(StagedNetwork):
    """Pyramidal residual network for small images: every block has more channels than the last.

    Shortcuts have no parameters: the image is averaged where it shrinks, and the channels that
    a block has more than its input are silent in its shortcut.

    Args:
        depth: With bottlenecks 9n + 2, otherwise 6n + 2, with n blocks in each of three stages.
        alpha: Channels that all blocks add up to, on the 16 of the stem.
        bottleneck: Whether blocks are bottlenecks, with four times as many output channels.
        **kwargs: ``in_channels``, ``conv_cfg``, ``norm_cfg``, ``init_cfg`` and ``regulariser``,
            see :class:`~mmgradaug.backbones.residual.StagedNetwork`.

    Raises:
        ValueError: If no network of this kind has that depth.
    """

    def __init__(
        self, depth: int = 200, alpha: float = 240, bottleneck: bool = True, **kwargs: Any
    ) -> None:
        blocks = 3 * blocks_per_stage(depth, 9 if bottleneck else 6, 2)
        factor = EXPANSION if bottleneck else 1
        # Rounded as in the authors' code, and as the published 26.8 M parameters of depth 200 and
        # alpha 240 need; their paper's formula rounds down, which gives 26.7 M.
        exact = (STEM_CHANNELS + alpha * (k + 1) / blocks for k in range(blocks))
        channels = [factor * round_half_up(count) for count in exact]
        super().__init__(PyramidBlock, channels, bottleneck=bottleneck, **kwargs)
        self.bn_final: Any = build_norm(kwargs.get('norm_cfg'), channels[-1])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the features of images (N, C, H, W): one map (N, out_channels, H/4, W/4)."""
        x = self.run_stages(self.bn1(self.conv1(x)))
        return (F.relu(self.bn_final(x)),)


@MODELS.register_module()
class SlimmablePyramidNet(SlimmableMixin, PyramidNet):
    """:class:`PyramidNet` with slimmable layers.

    A sub-network's shortcuts add a block's input, which has no more channels than the output, to
    the first channels of that output: those of the full network's shortcut whose source is active.
    ``width_divisor`` is :class:`SlimmableMixin`'s.
    """

    stock_cls = PyramidNet

    def _set_rounding(self) -> None:
        """Round the stem and the middle of bottlenecks as a quarter of an output."""
        blocks: list[Any] = [m for m in self.modules() if isinstance(m, PyramidBlock)]
        if blocks[0].layers == 2:
            return
        self.conv1.bottleneck_rounding = True
        for block in blocks:
            block.conv1.bottleneck_rounding = block.conv2.bottleneck_rounding = True
