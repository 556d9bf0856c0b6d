"""Plugins of mmdet's ResNet (context blocks, attention) that take as many channels as they get.

A plugin maps a block's channels to as many, by way of channels of its own. Every sub-network has
the latter in full, and slices the weights that read or write the block's.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from mmcv.cnn.bricks.context_block import ContextBlock
from mmcv.cnn.bricks.generalized_attention import GeneralizedAttention
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.func import functional_call

from ..type_names import class_of


class SlimPlugin(nn.Module if TYPE_CHECKING else object):  # type: ignore[misc]
    """What both plugins share; put before mmcv's."""

    stock: type[nn.Module]  # mmcv's
    reading: tuple[str, ...]  # its layers whose inputs are the block's channels
    writing: tuple[str, ...]  # its layers whose outputs are

    def forward(self, x: Tensor) -> Tensor:
        """Map ``x`` (N, C_active, H, W) to the same shape."""
        narrow = self._narrow(x.size(1))
        # Calls this forward again with narrow tensors in place of the layers' own, of which
        # there are none to cut then: the computation itself stays mmcv's.
        return functional_call(self, narrow, (x,)) if narrow else super().forward(x)

    def plain(self, channels: int) -> nn.Module:
        """mmcv's plugin of the first channels, with undefined values in what is cut."""
        layer = copy.deepcopy(self)
        layer.__class__ = self.stock  # type: ignore[assignment]
        for name, tensor in self._narrow(channels).items():
            owner, _, kind = name.rpartition('.')
            conv: Any = layer.get_submodule(owner)
            setattr(conv, kind, nn.Parameter(torch.empty_like(tensor)))
            conv.out_channels, conv.in_channels = conv.weight.shape[:2]
        return layer

    def _narrow(self, channels: int) -> dict[str, Tensor]:
        """The first channels of the parameters that have more than these, by name."""
        cut = {}
        for name, parameter in self.named_parameters():
            layer, _, kind = name.rpartition('.')
            if layer in self.reading and kind == 'weight':
                cut[name] = parameter[:, :channels]
            elif layer in self.writing:
                cut[name] = parameter[:channels]
        own = dict(self.named_parameters())
        return {name: tensor for name, tensor in cut.items() if tensor.shape != own[name].shape}


class SlimContextBlock(SlimPlugin, ContextBlock):
    """mmcv's ``ContextBlock`` (GCNet, ICCVW 2019) of as many channels as it is given."""

    stock = ContextBlock
    reading = ('conv_mask', 'channel_add_conv.0', 'channel_mul_conv.0')
    writing = ('channel_add_conv.3', 'channel_mul_conv.3')


class SlimGeneralizedAttention(SlimPlugin, GeneralizedAttention):
    """mmcv's ``GeneralizedAttention`` (Zhu et al., ICCV 2019) of the channels it is given."""

    stock = GeneralizedAttention
    reading = ('query_conv', 'key_conv', 'value_conv')
    writing = ('proj_conv',)


SLIM_PLUGINS: dict[Any, type[SlimPlugin]] = {
    cls.stock: cls for cls in (SlimContextBlock, SlimGeneralizedAttention)
}


def slim_plugins(plugins: Any) -> list[dict[str, Any]]:
    """The ``plugins`` of a ResNet with slimmable classes.

    Args:
        plugins: As mmdet's ResNet takes them: dicts with ``cfg``, ``stages`` and ``position``.

    Raises:
        ValueError: If one cannot be sliced.
    """
    entries = plugins if isinstance(plugins, (list, tuple)) else [plugins]
    slim = []
    for index, entry in enumerate(entries):
        cfg: Any = entry.get('cfg') if isinstance(entry, Mapping) else None
        kind = class_of(cfg.get('type'), MODELS) if isinstance(cfg, Mapping) else None
        if kind not in SLIM_PLUGINS:
            raise ValueError(
                f'model.backbone.plugins.{index}={entry!r} cannot be sliced, expected a dict with '
                'the cfg of a ContextBlock or GeneralizedAttention: remove it, or train this '
                'backbone without Slimmable in its name and with gradaug.min_width=1.0, which '
                'needs no sub-widths'
            )
        slim.append({**entry, 'cfg': {**cfg, 'type': SLIM_PLUGINS[kind]}})
    return slim
