"""Deformable convolutions (DCN, DCNv2) whose first channels form one of their own.

Where a kernel looks is computed from the input by an ordinary convolution, of which a sub-network
slices the inputs, as it slices the inputs and outputs of the weights. With ``deform_groups`` above
1, the kernel looks elsewhere in each group of input channels. A channel keeps its group whatever
the width: a sub-network fills its input up to all channels with silent ones, since mmcv wants
groups of one size. That costs as much as if it read all channels.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from typing import Any

from mmcv.ops import (
    DeformConv2d,
    DeformConv2dPack,
    ModulatedDeformConv2d,
    ModulatedDeformConv2dPack,
)
from mmdet.models.backbones.resnet import Bottleneck
from mmengine.logging import print_log
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.func import functional_call

from ..slimmable import SlimConv, pad_channels
from ..type_names import class_of


class _SlimDeformable(SlimConv):
    """What both deformable convolutions share; put before mmcv's.

    Args:
        *args: As mmcv's.
        **kwargs: As mmcv's, and :class:`~mmgradaug.slimmable.SlimConv`'s.
    """

    stock: type[nn.Module]  # mmcv's
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
            'weight': self.weight[:out, : self.channels_per_filter(in_)].contiguous(),
            'conv_offset.weight': self.conv_offset.weight[:, :in_].contiguous(),
        }
        if self._has_bias:
            narrow['bias'] = self.bias[:out]
        return functional_call(self, narrow, (x,))

    @property
    def _has_bias(self) -> bool:
        return getattr(self, 'bias', None) is not None  # DCN has no such attribute

    def plain(self, in_channels: int) -> nn.Module:
        """mmcv's layer of these inputs, as wide as this is now, with undefined values.

        In several groups it is a layer of all inputs that takes the first ones.
        """
        grouped = self.deform_groups > 1
        layer: Any = self.stock(
            self.in_channels if grouped else in_channels,
            self.active_out_channels,
            self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
            deform_groups=self.deform_groups,
            bias=self._has_bias,
        )
        if grouped:
            layer.register_forward_pre_hook(_fill_up)
        return layer.to(self.weight)


def _fill_up(layer: Any, inputs: tuple[Tensor]) -> Tensor:
    """The input of a plain layer in several groups, with silent channels."""
    return pad_channels(inputs[0], layer.in_channels)


class SlimDeformConv2dPack(_SlimDeformable, DeformConv2dPack):
    """mmcv's ``DCN`` (Deformable Convolutional Networks, ICCV 2017) that can be sliced."""

    stock = DeformConv2dPack


class SlimModulatedDeformConv2dPack(_SlimDeformable, ModulatedDeformConv2dPack):
    """mmcv's ``DCNv2`` (Deformable ConvNets v2, CVPR 2019) that can be sliced."""

    stock = ModulatedDeformConv2dPack


def deformable_layers(network: nn.Module) -> Iterator[tuple[str, Any]]:
    """The deformable convolutions of a network, slimmable or mmcv's own, with their names."""
    kinds = (DeformConv2d, ModulatedDeformConv2d)
    return ((name, m) for name, m in network.named_modules() if isinstance(m, kinds))


SLIM_DEFORMABLE: dict[Any, type[_SlimDeformable]] = {
    cls.stock: cls for cls in (SlimDeformConv2dPack, SlimModulatedDeformConv2dPack)
}


def deform_blocks(stages: Sequence[Any], dcn: Any, stage_with_dcn: Sequence[bool]) -> None:
    """Replace the 3 x 3 convolutions of whole stages by deformable ones, as mmdet's ResNet does.

    Args:
        stages: Of slimmable bottlenecks.
        dcn: The convolution: ``dict(type='DCN')`` or ``dict(type='DCNv2')``, with any
            ``deform_groups``.
        stage_with_dcn: Which stages get it.

    Raises:
        ValueError: If ``dcn`` asks for a layer that cannot be sliced, if there is not one switch
            a stage, or if a stage has no bottlenecks.
    """
    options = _checked(dcn)
    switches = stage_with_dcn if isinstance(stage_with_dcn, (list, tuple)) else ()
    if len(switches) != len(stages) or not all(isinstance(switch, bool) for switch in switches):
        raise ValueError(
            f'model.backbone.stage_with_dcn={stage_with_dcn!r}, expected {len(stages)} times True '
            'or False, one for each stage'
        )
    if not any(switches):
        print_log(
            'model.backbone.dcn without stage_with_dcn has no effect, as in mmdet: set '
            'stage_with_dcn=(False, True, True, True), for example',
            logger='current',
            level=logging.WARNING,
        )
    chosen = compress(stages, switches)
    for block in (block for stage in chosen for block in stage):
        if not isinstance(block, Bottleneck):
            raise ValueError(
                f'model.backbone.dcn={dcn!r} needs bottlenecks, got a network of '
                f'{type(block).__name__}: set depth to 50, 101 or 152, or remove dcn'
            )
        block.conv2 = _deformable(options, block.conv2)


def _checked(dcn: Any) -> dict[str, Any]:
    """The options of a slimmable deformable convolution."""
    kind = class_of(dcn.get('type'), MODELS) if isinstance(dcn, Mapping) else None
    if kind not in SLIM_DEFORMABLE:
        raise ValueError(
            f"model.backbone.dcn={dcn!r}, expected a dict of type 'DCN' or 'DCNv2': correct it or "
            'remove dcn (and stage_with_dcn)'
        )
    options = {**dcn, 'type': SLIM_DEFORMABLE[kind]}
    if options.pop('groups', 1) != 1:
        raise ValueError(
            f'model.backbone.dcn.groups={dcn["groups"]!r} cannot be sliced, expected 1: remove it '
            '(ResNeXt gives its own groups to dcn), or train this backbone without Slimmable in '
            'its name and with gradaug.min_width=1.0, which needs no sub-widths'
        )
    if options.pop('fallback_on_stride', False):
        raise ValueError(
            'model.backbone.dcn.fallback_on_stride=True, expected False: mmdet heeds it in the '
            'first block alone; remove it'
        )
    return options


def _deformable(options: Mapping[str, Any], conv: SlimConv) -> nn.Module:
    """A deformable convolution in the place of an ordinary one."""
    options = dict(options)
    kind = options.pop('type')
    for name in ('deform_groups', 'deformable_groups'):  # mmcv's name, and its old one
        _check_groups(name, options.get(name, 1), conv)
    try:
        return kind(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,
            stride=conv.stride,
            padding=conv.padding,
            dilation=conv.dilation,
            groups=conv.groups,
            bias=False,
            divisor=conv.divisor,
            quarter=conv.quarter,
            **options,
        )
    except TypeError as error:
        raise ValueError(
            f"model.backbone.dcn has {', '.join(options)}: mmcv's {kind.stock.__name__} does not "
            f'take these options ({error}): remove them'
        ) from error


def _check_groups(name: str, groups: Any, conv: SlimConv) -> None:
    """Raise if channels do not make as many groups of one size, or are in other groups already."""
    whole = isinstance(groups, int) and not isinstance(groups, bool) and groups > 0
    if not whole or conv.in_channels % groups:
        raise ValueError(
            f'model.backbone.dcn.{name}={groups!r}, expected a whole number that divides '
            f'{conv.in_channels}, the channels that the convolution reads: 1, 2 or 4, for example'
        )
    if groups > 1 and conv.groups > 1:
        raise ValueError(
            f'model.backbone.dcn.{name}={groups!r} together with model.backbone.groups='
            f'{conv.groups!r} cannot be sliced: set it to 1, or train this backbone as type='
            "'ResNeXt' with gradaug.min_width=1.0, which needs no sub-widths"
        )
