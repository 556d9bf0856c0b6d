"""ResNet for small images whose sub-networks may have fewer blocks, and fewer channels.

The network is section 4.2 of "Deep Residual Learning" (He et al., CVPR 2016), the law of what
survives that of "Deep Networks with Stochastic Depth" (Huang et al., ECCV 2016).
"""

from typing import Any

import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..slimmable import SkippableBlock, linear_survival, pad_channels, skippable_blocks
from .mixin import SlimmableMixin
from .residual import StagedNetwork, blocks_per_stage


class DepthBlock(SkippableBlock):
    """Two convolutions with BatchNorm, a shortcut, ReLU after the sum.

    ``projection`` makes the shortcut a 1 x 1 convolution with BatchNorm where the block changes
    the shape of its input; otherwise no shortcut has parameters.
    """

    recomputable = True

    def __init__(
        self, in_channels: int, channels: int, stride: int, conv: Any, norm: Any, projection: bool
    ) -> None:
        super().__init__()
        self.conv1 = conv(in_channels, channels, 3, stride)
        self.bn1 = norm(channels)
        self.conv2 = conv(channels, channels, 3)
        self.bn2 = norm(channels)
        self.stride = stride
        self.downsample: nn.Sequential | None = None
        if projection and (stride > 1 or in_channels != channels):
            shortcut = conv(in_channels, channels, 1, stride)
            self.downsample = nn.Sequential(shortcut, norm(channels))

    def residual(self, x: Tensor) -> Tensor:
        """Return the branch with the convolutions."""
        return self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))

    def shortcut(self, x: Tensor) -> Tensor:
        """Return the projection, or every stride-th pixel and silent channels after its own."""
        if self.downsample is not None:
            return self.downsample(x)
        if self.stride > 1:
            x = x[..., :: self.stride, :: self.stride]
        return pad_channels(x, getattr(self.conv2, 'active_out_channels', self.conv2.out_channels))


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
        shortcut: Of the two blocks that halve the image: ``'padding'``, without parameters (option
            A of He et al.), or ``'projection'``, a 1 x 1 convolution with BatchNorm (option B), as
            the released ResNet-110 has it.
        **kwargs: ``in_channels``, ``conv_cfg``, ``norm_cfg`` and ``init_cfg``, see
            :class:`~mmgradaug.backbones.residual.StagedNetwork`; there is no ``regulariser``.

    Raises:
        ValueError: If no network of this kind has that depth.
        KeyError: For an unknown ``evaluation`` or ``shortcut``.
    """

    def __init__(
        self,
        depth: int = 110,
        survival: float = 0.5,
        keep_first: bool = False,
        evaluation: str = 'full',
        stochastic: bool = False,
        shortcut: str = 'padding',
        **kwargs: Any,
    ) -> None:
        each = blocks_per_stage(depth, 6, 2)
        channels = [count for count in (16, 32, 64) for _ in range(each)]
        kwargs['projection'] = {'padding': False, 'projection': True}[shortcut]
        expected = {'full': False, 'expected': True}[evaluation]
        super().__init__(DepthBlock, channels, regulariser=None, **kwargs)
        blocks = skippable_blocks(self)
        law = linear_survival(len(blocks), survival, keep_first)
        for block, probability in zip(blocks, law, strict=True):
            block.survival = probability
            block.expected = expected
            block.stochastic = stochastic

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the features of images (N, C, H, W): one map (N, out_channels, H/4, W/4)."""
        return (self.run_stages(F.relu(self.bn1(self.conv1(x)))),)


@MODELS.register_module()
class SlimmableDepthResNet(SlimmableMixin, DepthResNet):
    """:class:`DepthResNet` with slimmable layers.

    Its sub-networks may be shallower (:func:`mmgradaug.at_depth`), narrower
    (:func:`mmgradaug.at_width`) or both. ``width_divisor`` is :class:`SlimmableMixin`'s.
    """

    stock_cls = DepthResNet
