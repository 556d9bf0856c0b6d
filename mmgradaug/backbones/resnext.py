"""ResNeXt whose first groups of channels form a sub-network."""

from math import lcm

from mmdet.models.backbones import ResNeXt
from mmdet.models.backbones.resnext import Bottleneck
from mmengine.registry import MODELS

from .resnet import SlimmableResNetMixin


@MODELS.register_module()
class SlimmableResNeXt(SlimmableResNetMixin, ResNeXt):
    """mmdet's ``ResNeXt`` with slimmable layers.

    Outside :func:`mmgradaug.at_width` it is mmdet's ``ResNeXt`` bit by bit, with the same state
    dict. Groups keep their size: the middle of a block keeps whole ones, 29 of 32 at width 0.9,
    and every other layer as many channels as a ResNet's.

    Args:
        groups (int): Of the 3 x 3 convolutions.
        base_width (int): Channels of a group in the first stage; they double with each stage.
        **kwargs: As :class:`~mmgradaug.SlimmableResNet`, with ``depth`` 50, 101 or 152.

    Raises:
        ConfigError: As :class:`~mmgradaug.SlimmableResNet`, or for ``deform_groups`` in ``dcn``.
    """

    stock_cls = ResNeXt

    def _set_rounding(self) -> None:
        """Round as a ResNet does, but the middle of a block to whole groups."""
        super()._set_rounding()
        for block in self.modules():
            if isinstance(block, Bottleneck) and block.conv2.groups > 1:
                size = block.conv2.out_channels // block.conv2.groups
                for conv in (block.conv1, block.conv2):
                    conv.divisor = lcm(conv.divisor, size)
