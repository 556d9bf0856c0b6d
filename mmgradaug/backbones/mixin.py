"""Makes a network that is built from conv and norm configs slimmable."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from math import lcm
from typing import TYPE_CHECKING, Any

from mmengine.model import BaseModule
from mmengine.registry import MODELS
from mmengine.utils.dl_utils.parrots_wrapper import SyncBatchNorm
from torch import Tensor, nn

from ..slimmable import (
    SlimBatchNorm2d,
    SlimConv,
    SlimConv2d,
    SlimGroupNorm,
    SlimSyncBatchNorm,
    pad_channels,
)
from ..type_names import class_of
from .pretrained import check_pretrained, pretrained_of
from .weight_standardised import ConvWS2d, SlimConvWS2d

SLIM_CONVS: dict[Any, type[SlimConv]] = {
    nn.Conv2d: SlimConv2d,
    SlimConv2d: SlimConv2d,
    ConvWS2d: SlimConvWS2d,
    SlimConvWS2d: SlimConvWS2d,
}
SLIM_NORMS: dict[Any, type] = {
    nn.BatchNorm2d: SlimBatchNorm2d,
    SlimBatchNorm2d: SlimBatchNorm2d,
    nn.SyncBatchNorm: SlimSyncBatchNorm,
    SyncBatchNorm: SlimSyncBatchNorm,  # what mmcv registers as SyncBN
    SlimSyncBatchNorm: SlimSyncBatchNorm,
    nn.GroupNorm: SlimGroupNorm,
    SlimGroupNorm: SlimGroupNorm,
}
# Whose options are left behind where a name was replaced.
OPTIONS_OF = {
    'scales': 'Res2Net',
    'radix': 'ResNeSt',
    'arch': 'RegNet',
    'groups': 'ResNeXt',  # after the others, two of which have groups and widths as well
    'base_width': 'ResNeXt',
}


class SlimmableMixin(BaseModule if TYPE_CHECKING else object):  # type: ignore[misc]
    """What every slimmable backbone shares; put before the plain network.

    The plain network builds every convolution by ``conv_cfg`` and every BatchNorm by
    ``norm_cfg``, and has ``out_channels`` or overrides :attr:`feature_channels`.

    Args:
        *args: As the plain network.
        width_divisor: Sub-networks keep multiples of this many channels. 1 is the paper's
            law; 8 or 16 suit kernels that want aligned channels.
        conv_cfg: None, Conv2d or ConvWS.
        norm_cfg: None, BN or SyncBN; where ``takes_groups``, also GN, before which convolutions
            keep whole groups.
        **kwargs: As the plain network.

    Raises:
        ValueError: If an option asks for a layer that cannot be sliced.
    """

    dense_class: type[BaseModule]  # what `extract_subnet` turns an instance into
    takes_groups = False  # whether a normalisation follows every convolution, of its channels
    group_options: tuple[str, ...] = ()  # how its convolutions come in groups
    out_channels: int

    def __init__(
        self,
        *args: Any,
        width_divisor: int = 1,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        **kwargs: Any,
    ) -> None:
        _refuse_other_networks({k: v for k, v in kwargs.items() if k not in self.group_options})
        if norm_cfg is None:
            norm_cfg = {'type': 'BN', 'requires_grad': True}
        slim = {
            'conv_cfg': _slim_conv({'type': nn.Conv2d} if conv_cfg is None else conv_cfg)
            | {'divisor': _checked_divisor(width_divisor)},
            'norm_cfg': _slim_norm(norm_cfg, self.takes_groups),
        }
        with self._naming_options(args, kwargs):
            super().__init__(*args, **slim, **kwargs)
        self.width_divisor = width_divisor
        self._set_rounding()
        if slim['norm_cfg']['type'] is SlimGroupNorm:
            _keep_whole_groups(self, slim['norm_cfg']['num_groups'])

    @classmethod
    def _naming_options(cls, args: tuple, options: dict[str, Any]) -> AbstractContextManager[None]:
        """Around the plain network's constructor, to name options that it does not take."""
        return nullcontext()

    def _set_rounding(self) -> None:
        """Set which convolutions round as a quarter of their block's output, or to groups."""

    @property
    def feature_channels(self) -> tuple[int, ...]:
        """Channels of each map that :meth:`forward` returns."""
        return (self.out_channels,)

    def init_weights(self) -> None:
        """Initialise as the plain network; pretrained weights that do not fit are an error.

        Raises:
            FileNotFoundError: If the pretrained file is missing.
            ValueError: If the pretrained weights do not fit this network.
        """
        pretrained = pretrained_of(self.init_cfg)
        if pretrained is not None and not self.is_init:
            check_pretrained(self, pretrained['checkpoint'], pretrained.get('prefix'))
        super().init_weights()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Features of the plain network, padded to its full width.

        Args:
            x: Images (N, C, H, W).

        Returns:
            Maps (N, C_i, H_i, W_i), C_i the full network's channels at any width: a
            sub-network's last channels are zero.
        """
        return tuple(
            pad_channels(out, channels)
            for out, channels in zip(super().forward(x), self.feature_channels, strict=True)
        )


def _refuse_other_networks(options: Mapping[str, Any]) -> None:
    """Raise on options of networks that are no plain ResNets."""
    for name, network in OPTIONS_OF.items():
        if name in options:
            fix = (
                f"use type='Slimmable{network}'"
                if f'Slimmable{network}' in MODELS.module_dict
                else 'which cannot be sliced: start from a ResNet config, or train it as type='
                f'{network!r} with gradaug.min_width=1.0'
            )
            raise ValueError(f'model.backbone.{name}={options[name]!r} belongs to {network}, {fix}')


def _slim_conv(conv_cfg: Mapping[str, Any]) -> dict[str, Any]:
    """A conv config with the slimmable class."""
    kind = class_of(conv_cfg.get('type'), MODELS) if isinstance(conv_cfg, Mapping) else None
    if kind not in SLIM_CONVS:
        raise ValueError(
            f'model.backbone.conv_cfg={conv_cfg!r} cannot be sliced, expected type Conv2d or '
            'ConvWS: remove conv_cfg from the slimmable backbone'
        )
    if conv_cfg.get('groups', 1) != 1:
        raise ValueError(
            f'model.backbone.conv_cfg={conv_cfg!r} puts every convolution in groups, expected '
            "none: remove groups (type='SlimmableResNeXt' has them where they belong)"
        )
    return {**conv_cfg, 'type': SLIM_CONVS[kind]}


def _slim_norm(norm_cfg: Mapping[str, Any], takes_groups: bool) -> dict[str, Any]:
    """A norm config with the slimmable class."""
    kind = class_of(norm_cfg.get('type'), MODELS) if isinstance(norm_cfg, Mapping) else None
    slim = SLIM_NORMS.get(kind)
    if slim is None or (slim is SlimGroupNorm and not takes_groups):
        expected = 'BN, SyncBN or GN' if takes_groups else 'BN or SyncBN'
        raise ValueError(
            f'model.backbone.norm_cfg={norm_cfg!r} cannot be sliced, expected {expected}: '
            "statistics over all channels change with the width; use norm_cfg=dict(type='BN') or "
            "'SyncBN'"
        )
    trains = norm_cfg.get('requires_grad', True)
    if not isinstance(trains, bool):
        raise ValueError(
            f'model.backbone.norm_cfg.requires_grad={trains!r}, expected True or False: whether '
            "BatchNorm's weights are trained"
        )
    return {**norm_cfg, 'type': slim}


def _keep_whole_groups(network: nn.Module, num_groups: int) -> None:
    """Let every convolution keep whole groups of the GroupNorm that follows it."""
    for module in network.modules():
        if isinstance(module, SlimConv):
            module.divisor = lcm(module.divisor, module.out_channels // num_groups)


def _checked_divisor(divisor: int) -> int:
    """Return a valid ``width_divisor``."""
    if isinstance(divisor, bool) or not isinstance(divisor, int) or divisor < 1:
        raise ValueError(
            'model.backbone.width_divisor must be a whole number of channels >= 1, got '
            f"{divisor!r}: 1 is the paper's law, 8 or 16 give aligned channels"
        )
    return divisor
