"""Deformable convolutions (DCN, DCNv2) whose first channels form one of their own.

Where a kernel looks is computed from the input by an ordinary convolution, of which a sub-network
slices the inputs, as it slices the inputs and outputs of the weights. With ``deform_groups`` above
1, the kernel looks elsewhere in each group of input channels. A channel keeps its group whatever
the width: a sub-network fills its input up to all channels with silent ones, since mmcv wants
groups of one size. That costs as much as if it read all channels.
"""

from collections.abc import Sequence
from itertools import compress
from typing import Any

from mmcv.ops import DeformConv2dPack, ModulatedDeformConv2dPack
from mmdet.models.backbones.resnet import Bottleneck
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.func import functional_call

from ..errors import ConfigError
from ..slimmable import SlimConv, pad_channels
from ..type_names import class_of


class _SlimDeformable(SlimConv):
    """What both deformable convolutions share; put before mmcv's."""

    own_options = ('deform_groups',)
    conv_offset: nn.Conv2d

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``x`` (N, C_active_in, H, W) to (N, C_active_out, H', W')."""
        if self.deform_groups > 1:
            x = pad_channels(x, self.in_channels)
        x = x.contiguous()  # mmcv's kernels read nothing else rightly
        out, in_ = self.active_out_channels, x.size(1)
        weights = (self.weight, self.conv_offset.weight)
        narrow_already = (weights[0].size(0), weights[1].size(1)) == (out, in_)
        if narrow_already and all(weight.is_contiguous() for weight in weights):
            return super().forward(x)
        # Calls this forward again with narrow tensors in place of the layer's own, which then
        # takes the branch above: the convolution itself stays mmcv's.
        narrow = {
            'weight': self.active_weight(in_).contiguous(),
            'conv_offset.weight': self.conv_offset.weight[:, :in_].contiguous(),
        }
        if getattr(self, 'bias', None) is not None:  # DCN has no such attribute
            narrow['bias'] = self.bias[:out]
        return functional_call(self, narrow, (x,))

    def to_dense(self, in_channels: int) -> nn.Module:
        """Return mmcv's layer of these inputs, as wide as this is now, with undefined values.

        In several groups it is a layer of all inputs that takes the first ones.
        """
        if self.deform_groups == 1:
            return super().to_dense(in_channels)
        layer = super().to_dense(self.in_channels)
        layer.register_forward_pre_hook(_fill_up)
        return layer


def _fill_up(layer: Any, inputs: tuple[Tensor]) -> Tensor:
    """Return the input of a stock layer in several groups, with silent channels."""
    return pad_channels(inputs[0], layer.in_channels)


class SlimDeformConv2dPack(_SlimDeformable, DeformConv2dPack):
    """mmcv's ``DCN`` (Deformable Convolutional Networks, ICCV 2017) that can be sliced."""

    stock_cls = DeformConv2dPack


class SlimModulatedDeformConv2dPack(_SlimDeformable, ModulatedDeformConv2dPack):
    """mmcv's ``DCNv2`` (Deformable ConvNets v2, CVPR 2019) that can be sliced."""

    stock_cls = ModulatedDeformConv2dPack


SLIM_DEFORMABLE: dict[Any, type[_SlimDeformable]] = {
    cls.stock_cls: cls for cls in (SlimDeformConv2dPack, SlimModulatedDeformConv2dPack)
}


def deform_blocks(stages: Sequence[Any], dcn: Any, stage_with_dcn: Sequence[bool]) -> None:
    """Replace the 3 x 3 convolutions of whole stages by deformable ones, as mmdet's ResNet does.

    Args:
        stages: Of slimmable bottlenecks.
        dcn: The convolution: ``dict(type='DCN')`` or ``dict(type='DCNv2')``, with any
            ``deform_groups``.
        stage_with_dcn: Which stages get it.
    """
    options = dict(dcn)
    cls = SLIM_DEFORMABLE.get(class_of(options.pop('type', None), MODELS))
    blocks = [block for stage in compress(stages, stage_with_dcn) for block in stage]
    # mmdet heeds fallback_on_stride in the first block alone.
    refused = options.pop('groups', 1) != 1 or options.pop('fallback_on_stride', False)
    shares = max(options.get(name, 1) for name in ('deform_groups', 'deformable_groups'))
    if (
        cls is None
        or refused
        or not all(isinstance(block, Bottleneck) for block in blocks)
        or (shares > 1 and any(block.conv2.groups > 1 for block in blocks))
    ):
        raise ConfigError(
            f"model.backbone.dcn={dcn!r} cannot be sliced, expected type 'DCN' or 'DCNv2' without "
            'groups and fallback_on_stride, in a network of bottlenecks, and deform_groups=1 in a '
            'ResNeXt: correct it, or train this backbone without Slimmable in its name and with '
            'gradaug.min_width=1.0, which needs no sub-widths'
        )
    names = ['in_channels', 'out_channels', 'kernel_size', 'stride', 'padding', 'dilation']
    names += ['groups', 'divisor', 'bottleneck_rounding']
    for block in blocks:
        kept = {name: getattr(block.conv2, name) for name in names}
        block.conv2 = cls(bias=False, **kept, **options)
