"""Wide residual networks (Zagoruyko and Komodakis, BMVC 2016), plain and slimmable."""

from typing import Any

import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from .mixin import SlimmableMixin
from .residual import STEM_CHANNELS, StagedNetwork, blocks_per_stage, build_norm


class WideBlock(nn.Module):
    """BatchNorm, ReLU, convolution, twice; a projection where the number of channels changes."""

    recomputable = True

    def __init__(
        self, in_channels: int, channels: int, stride: int, conv: Any, norm: Any, dropout: float
    ) -> None:
        super().__init__()
        self.bn1 = norm(in_channels)
        self.conv1 = conv(in_channels, channels, 3, stride)
        self.bn2 = norm(channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = conv(channels, channels, 3)
        changes = stride != 1 or in_channels != channels
        self.projection = conv(in_channels, channels, 1, stride) if changes else None
        self.regulariser: nn.Module = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``x`` (N, C_in, H, W) to (N, C, H / stride, W / stride)."""
        activated = F.relu(self.bn1(x))
        shortcut = x if self.projection is None else self.projection(activated)
        inner = self.dropout(F.relu(self.bn2(self.conv1(activated))))
        return self.regulariser(self.conv2(inner)) + shortcut


@MODELS.register_module()
class WideResNet(StagedNetwork):
    """Wide residual network for small images.

    Args:
        depth: 6n + 4 with n blocks in each of three stages: 16, 22, 28, 40, ...
        widen_factor: Channels of the stages are 16, 32 and 64 times this.
        dropout: Share of values dropped inside blocks, in training.
        **kwargs: ``in_channels``, ``conv_cfg``, ``norm_cfg``, ``init_cfg`` and ``regulariser``,
            see :class:`~mmgradaug.backbones.residual.StagedNetwork`.

    Raises:
        ValueError: If no network of this kind has that depth.
    """

    def __init__(
        self, depth: int = 28, widen_factor: float = 10, dropout: float = 0.0, **kwargs: Any
    ) -> None:
        each = blocks_per_stage(depth, 6, 4)
        widths = [max(1, round(STEM_CHANNELS * widen_factor)) * 2**stage for stage in range(3)]
        channels = [width for width in widths for _ in range(each)]
        super().__init__(WideBlock, channels, stem_norm=False, dropout=dropout, **kwargs)
        self.bn1 = build_norm(kwargs.get('norm_cfg'), widths[-1])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the features of images (N, C, H, W): one map (N, out_channels, H/4, W/4)."""
        return (F.relu(self.bn1(self.run_stages(self.conv1(x)))),)


@MODELS.register_module()
class SlimmableWideResNet(SlimmableMixin, WideResNet):
    """:class:`WideResNet` with slimmable layers; ``width_divisor`` is :class:`SlimmableMixin`'s."""

    stock_cls = WideResNet
