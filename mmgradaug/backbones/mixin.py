"""Makes a network that is built from conv and norm configs slimmable."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from mmengine.model import BaseModule
from mmengine.registry import MODELS
from mmengine.utils.dl_utils.parrots_wrapper import SyncBatchNorm
from torch import Tensor, nn

from ..slimmable import SlimBatchNorm2d, SlimConv2d, SlimSyncBatchNorm, pad_channels
from ..type_names import builds, class_of
from .pretrained import check_pretrained, pretrained_of

SLIM_NORMS: dict[Any, type] = {
    nn.BatchNorm2d: SlimBatchNorm2d,
    SlimBatchNorm2d: SlimBatchNorm2d,
    nn.SyncBatchNorm: SlimSyncBatchNorm,
    SyncBatchNorm: SlimSyncBatchNorm,  # what mmcv registers as SyncBN
    SlimSyncBatchNorm: SlimSyncBatchNorm,
}
# Options of ResNeXt, Res2Net, ResNeSt and RegNet, left behind where their name was replaced.
GROUPED = ('groups', 'base_width', 'scales', 'radix', 'arch')


class SlimmableMixin(BaseModule if TYPE_CHECKING else object):  # type: ignore[misc]
    """What every slimmable backbone shares; put before the plain network.

    The plain network builds every convolution by ``conv_cfg`` and every BatchNorm by
    ``norm_cfg``, and has ``out_channels`` or overrides :attr:`feature_channels`.

    Args:
        *args: As the plain network.
        width_divisor: Sub-networks keep multiples of this many channels. 1 is the paper's
            law; 8 or 16 suit kernels that want aligned channels.
        conv_cfg: None or Conv2d.
        norm_cfg: None, BN or SyncBN.
        **kwargs: As the plain network.

    Raises:
        ValueError: If an option asks for a layer that cannot be sliced.
    """

    dense_class: type[BaseModule]  # what `extract_subnet` turns an instance into
    out_channels: int

    def __init__(
        self,
        *args: Any,
        width_divisor: int = 1,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        **kwargs: Any,
    ) -> None:
        _refuse_unsliceable(conv_cfg, kwargs)
        slim = {
            'conv_cfg': {'type': SlimConv2d, 'divisor': _checked_divisor(width_divisor)},
            'norm_cfg': _slim_norm(
                {'type': 'BN', 'requires_grad': True} if norm_cfg is None else norm_cfg
            ),
        }
        with self._naming_options(args, kwargs):
            super().__init__(*args, **slim, **kwargs)
        self.width_divisor = width_divisor
        self._set_quarter_rule()

    @classmethod
    def _naming_options(cls, args: tuple, options: dict[str, Any]) -> AbstractContextManager[None]:
        """Around the plain network's constructor, to name options that it does not take."""
        return nullcontext()

    def _set_quarter_rule(self) -> None:
        """Set which convolutions round as a quarter of their block's output."""

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


def _refuse_unsliceable(conv_cfg: dict | None, kwargs: dict) -> None:
    """Raise on options whose layers have no first-channels sub-network."""
    plain = any(builds(conv_cfg, kind, MODELS) for kind in (nn.Conv2d, SlimConv2d))
    if conv_cfg is not None and not plain:
        raise ValueError(
            f'model.backbone.conv_cfg={conv_cfg!r} cannot be sliced, expected type Conv2d: remove '
            'conv_cfg from the slimmable backbone'
        )
    for option in GROUPED:
        if option in kwargs:
            raise ValueError(
                f'model.backbone.{option}={kwargs[option]!r} belongs to ResNeXt, Res2Net, ResNeSt '
                'or RegNet, whose channels in groups cannot be sliced; start from a ResNet config, '
                'or train that backbone under its own name with gradaug.min_width=1.0'
            )
    for option in ('dcn', 'plugins'):
        if kwargs.get(option) is not None:
            raise ValueError(
                f'model.backbone.{option}={kwargs[option]!r} adds layers that cannot be sliced, '
                f'expected None: remove {option} (and its stage settings), or train this backbone '
                "with type='ResNet' and gradaug.min_width=1.0, which needs no sub-widths"
            )


def _slim_norm(norm_cfg: Mapping[str, Any]) -> dict[str, Any]:
    """A norm config with the slimmable class."""
    kind = class_of(norm_cfg.get('type'), MODELS) if isinstance(norm_cfg, Mapping) else None
    if kind not in SLIM_NORMS:
        raise ValueError(
            f'model.backbone.norm_cfg={norm_cfg!r} cannot be sliced, expected BN or SyncBN: '
            'channel groups and layer statistics change with the width; use '
            "norm_cfg=dict(type='BN') or 'SyncBN'"
        )
    trains = norm_cfg.get('requires_grad', True)
    if not isinstance(trains, bool):
        raise ValueError(
            f'model.backbone.norm_cfg.requires_grad={trains!r}, expected True or False: whether '
            "BatchNorm's weights are trained"
        )
    return {**norm_cfg, 'type': SLIM_NORMS[kind]}


def _checked_divisor(divisor: int) -> int:
    """Return a valid ``width_divisor``."""
    if isinstance(divisor, bool) or not isinstance(divisor, int) or divisor < 1:
        raise ValueError(
            'model.backbone.width_divisor must be a whole number of channels >= 1, got '
            f"{divisor!r}: 1 is the paper's law, 8 or 16 give aligned channels"
        )
    return divisor
