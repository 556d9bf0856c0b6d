"""Plugins of mmdet's ResNet (context blocks, attention) that take as many channels as they get.

A plugin maps a block's channels to as many, by way of channels of its own. Every sub-network has
the latter in full, and slices the weights that read or write the block's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmcv.cnn.bricks.context_block import ContextBlock
from mmcv.cnn.bricks.generalized_attention import GeneralizedAttention
from mmcv.cnn.bricks.non_local import NonLocal2d
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.func import functional_call

from ..errors import ConfigError
from ..slimmable import Slimmable
from ..type_names import class_of


class SlimPlugin(Slimmable):
    """What all plugins share; put before mmcv's."""

    stock_cls: type[nn.Module]
    reading: tuple[str, ...]  # its layers whose inputs are the block's channels
    writing: tuple[str, ...]  # its layers whose outputs are

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.options = options

    def forward(self, x: Tensor) -> Tensor:
        """Map ``x`` (N, C_active, H, W) to the same shape."""
        narrow = self._narrow(x.size(1))
        # Calls this forward again with narrow tensors in place of the layers' own, of which
        # there are none to cut then: the computation itself stays mmcv's.
        return functional_call(self, narrow, (x,)) if narrow else super().forward(x)

    def to_dense(self, channels: int) -> nn.Module:
        """Return mmcv's plugin of the first channels, with undefined values in what is cut."""
        layer = self.stock_cls(**self.options)
        for name, tensor in self._narrow(channels).items():
            owner, _, kind = name.rpartition('.')
            conv: Any = layer.get_submodule(owner)
            setattr(conv, kind, nn.Parameter(torch.empty_like(tensor)))
            conv.out_channels, conv.in_channels = conv.weight.shape[:2]
        return layer

    def _narrow(self, channels: int) -> dict[str, Tensor]:
        """Return the first channels of the parameters that have more than these, by name."""
        cut = {}
        for name, parameter in self.named_parameters():
            layer, _, kind = name.rpartition('.')
            if layer in self.reading and kind == 'weight' and parameter.size(1) > channels:
                cut[name] = parameter[:, :channels]
            elif layer in self.writing and parameter.size(0) > channels:
                cut[name] = parameter[:channels]
        return cut


class SlimContextBlock(SlimPlugin, ContextBlock):
    """mmcv's ``ContextBlock`` (GCNet, ICCVW 2019) of as many channels as it is given."""

    stock_cls = ContextBlock
    reading = ('conv_mask', 'channel_add_conv.0', 'channel_mul_conv.0')
    writing = ('channel_add_conv.3', 'channel_mul_conv.3')


class SlimGeneralizedAttention(SlimPlugin, GeneralizedAttention):
    """mmcv's ``GeneralizedAttention`` (Zhu et al., ICCV 2019) of the channels it is given."""

    stock_cls = GeneralizedAttention
    reading = ('query_conv', 'key_conv', 'value_conv')
    writing = ('proj_conv',)


class SlimNonLocal2d(SlimPlugin, NonLocal2d):
    """mmcv's ``NonLocal2d`` (Wang et al., CVPR 2018) of the channels it is given."""

    stock_cls = NonLocal2d
    reading = ('g.conv', 'theta.conv', 'phi.conv')
    writing = ('conv_out.conv',)


SLIM_PLUGINS: dict[Any, type[SlimPlugin]] = {
    cls.stock_cls: cls for cls in (SlimContextBlock, SlimGeneralizedAttention, SlimNonLocal2d)
}


def slim_plugins(plugins: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the ``plugins`` of a ResNet with slimmable classes."""
    slim = []
    for index, plugin in enumerate(plugins):
        kind = class_of(plugin['cfg'].get('type'), MODELS)
        # Of NonLocal2d: attention among the block's own channels, and a norm of them.
        fixed = plugin['cfg'].get('mode') == 'gaussian' or plugin['cfg'].get('norm_cfg')
        if kind not in SLIM_PLUGINS or fixed:
            raise ConfigError(
                f'model.backbone.plugins.{index}={plugin!r} cannot be sliced, expected the cfg of '
                'a ContextBlock, GeneralizedAttention, or NonLocal2d without norm_cfg and in '
                "another mode than 'gaussian': remove it, or train this backbone without Slimmable "
                'in its name and with gradaug.min_width=1.0, which needs no sub-widths'
            )
        slim.append({**plugin, 'cfg': {**plugin['cfg'], 'type': SLIM_PLUGINS[kind]}})
    return slim
