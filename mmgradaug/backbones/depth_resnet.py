"""ResNet for small images whose sub-networks may have fewer blocks, and fewer channels.

The network is section 4.2 of "Deep Residual Learning" (He et al., CVPR 2016), the law of what
survives that of "Deep Networks with Stochastic Depth" (Huang et al., ECCV 2016).
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..slimmable import SkippableBlock, linear_survival, skippable_blocks
from .mixin import SlimmableMixin
from .residual import StagedNetwork, blocks_a_stage, conv, norm, padded_shortcut

STAGE_CHANNELS = (16, 32, 64)
EVALUATIONS = ('full', 'expected')


class DepthBlock(SkippableBlock):
    """Two convolutions with BatchNorm, a shortcut without parameters, ReLU after the sum.

    Args:
        in_channels: Input channels.
        channels: Output channels, at least as many.
        stride: Of the first convolution.
        conv_cfg: Config of the convolutions.
        norm_cfg: Config of the normalisations.
    """

    recomputable = True

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
    ) -> None:
        super().__init__()
        self.conv1 = conv(conv_cfg, in_channels, channels, 3, stride)
        self.bn1 = norm(norm_cfg, channels)
        self.conv2 = conv(conv_cfg, channels, channels, 3)
        self.bn2 = norm(norm_cfg, channels)
        self.stride = stride

    @property
    def active_channels(self) -> int:
        """Output channels at the current width."""
        return getattr(self.conv2, 'active_out_channels', self.conv2.out_channels)

    def residual(self, x: Tensor) -> Tensor:
        """The branch with the convolutions."""
        return self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))

    def shortcut(self, x: Tensor) -> Tensor:
        """Every stride-th pixel, and silent channels after the own ones (option A of He et al.)."""
        return padded_shortcut(x, self.active_channels, self.stride)

    def join(self, residual: Tensor, shortcut: Tensor) -> Tensor:
        """ReLU of the sum, which leaves a shortcut alone as it is: it comes from another ReLU."""
        return F.relu(residual + shortcut)

    def shortcut_alone(self) -> nn.Module:
        """What takes this block's place in a shallower dense network."""
        return PaddedShortcut(self.active_channels, self.stride)


class PaddedShortcut(nn.Module):
    """:func:`~mmgradaug.backbones.residual.padded_shortcut` as a module."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.active_channels = channels
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Map ``x`` (N, C_in, H, W) to (N, C, H / stride, W / stride)."""
        return padded_shortcut(x, self.active_channels, self.stride)


@MODELS.register_module()
class DepthResNet(StagedNetwork):
    """He's ResNet for small images (16, 32 and 64 channels), with stochastic depth.

    GradAug's full network has every block at weight 1, in training and by default in evaluation;
    its sub-networks (``gradaug.shrink='depth'``) keep each block with its survival probability.
    The released code has ``survival=0.8, keep_first=True, evaluation='expected'``; stochastic
    depth itself is ``stochastic=True, evaluation='expected'`` with ``gradaug.num_subnets=0``.

    Args:
        depth: 6n + 2 with n blocks in each of three stages: 20, 56, 110, ...
        survival: Probability with which a random sub-network keeps the last block; that of
            earlier ones rises linearly towards 1.
        keep_first: Whether it is 1 at the first block, so that this always stays; otherwise 1
            is what the line starts from at the input, as Huang et al. have it.
        evaluation: ``'full'``: blocks weigh 1. ``'expected'``: the residual branch of each is
            multiplied by its survival probability.
        stochastic: Whether training leaves blocks out of the full network too.
        in_channels: Channels of the images.
        conv_cfg: Config of the convolutions; None is ``nn.Conv2d``.
        norm_cfg: Config of the normalisations; None is BatchNorm.
        init_cfg: Initialisation; None is He's by outgoing connections.

    Raises:
        ValueError: If ``depth``, ``survival`` or ``evaluation`` is out of its range.
    """

    def __init__(
        self,
        depth: int = 110,
        survival: float = 0.5,
        keep_first: bool = False,
        evaluation: str = 'full',
        stochastic: bool = False,
        in_channels: int = 3,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        init_cfg: Any = None,
    ) -> None:
        each = blocks_a_stage('ResNet for small images', depth, 6, 2)
        _check_survival(survival)
        if evaluation not in EVALUATIONS:
            raise ValueError(f'evaluation must be one of {EVALUATIONS}, got {evaluation!r}')
        channels = [count for count in STAGE_CHANNELS for _ in range(each)]
        super().__init__(DepthBlock, channels, in_channels, conv_cfg, norm_cfg, init_cfg)
        blocks = skippable_blocks(self)
        law = linear_survival(len(blocks), survival, keep_first)
        for block, probability in zip(blocks, law, strict=True):
            block.survival = probability
            block.expected = evaluation == 'expected'
            block.stochastic = stochastic

    @property
    def out_channels(self) -> int:
        """Channels of the features."""
        last: Any = self.layer3[-1]
        return last.active_channels

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Features of images (N, C, H, W) of any size: one map (N, out_channels, H/4, W/4)."""
        return (self.run_stages(F.relu(self.bn1(self.conv1(x)))),)


@MODELS.register_module()
class SlimmableDepthResNet(SlimmableMixin, DepthResNet):
    """:class:`DepthResNet` with slimmable layers.

    Its sub-networks may be shallower (:func:`mmgradaug.at_depth`), narrower
    (:func:`mmgradaug.at_width`) or both.

    Args and errors as :class:`DepthResNet`, and ``width_divisor`` as
    :class:`~mmgradaug.SlimmableResNet`.
    """

    dense_class = DepthResNet

    @property
    def out_channels(self) -> int:  # type: ignore[override]
        """Channels of the features, at any width."""
        return STAGE_CHANNELS[-1]


def _check_survival(survival: Any) -> None:
    """Raise unless ``survival`` is a probability above zero."""
    is_number = isinstance(survival, (int, float)) and not isinstance(survival, bool)
    if not is_number or not 0 < survival <= 1:
        raise ValueError(
            f'survival must be in (0, 1], got {survival!r}: 0.5 is that of stochastic depth, 0.8 '
            'that of the released code'
        )
