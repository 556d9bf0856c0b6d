"""Makes a network that is built from conv and norm configs slimmable."""

from collections.abc import Mapping
from math import lcm
from typing import Any

import torch.fx
from mmcv.cnn.bricks.conv_ws import ConvWS2d, conv_ws_2d
from mmengine.registry import MODELS
from mmengine.utils.dl_utils.parrots_wrapper import SyncBatchNorm
from torch import Tensor, nn

from ..errors import ConfigError
from ..slimmable import (
    SlimBatchNorm2d,
    SlimConv,
    SlimConv2d,
    SlimGroupNorm,
    SlimmableNetwork,
    SlimSyncBatchNorm,
    pad_channels,
)
from ..type_names import class_of


class SlimConvWS2d(SlimConv, ConvWS2d, nn.Conv2d):
    """mmcv's ``ConvWS``: each filter has mean 0 and variance 1 over the inputs that it reads.

    ``nn.Conv2d`` is named as a base for mmengine's initialisers, which look at direct ones.
    """

    stock_cls = ConvWS2d
    own_options = ('eps',)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``x`` (N, C_active_in, H, W) to (N, C_active_out, H', W')."""
        if self.width is None:
            return super().forward(x)
        weight = self.active_weight(x.size(1)).contiguous()  # mmcv's function asks for it
        bias = None if self.bias is None else self.bias[: self.active_out_channels]
        return conv_ws_2d(
            x, weight, bias, self.stride, self.padding, self.dilation, self.groups, self.eps
        )


SLIM_CONVS: dict[Any, type[SlimConv]] = {nn.Conv2d: SlimConv2d, ConvWS2d: SlimConvWS2d}
SLIM_NORMS: dict[Any, type] = {
    nn.BatchNorm2d: SlimBatchNorm2d,
    nn.SyncBatchNorm: SlimSyncBatchNorm,
    SyncBatchNorm: SlimSyncBatchNorm,  # what mmcv registers as SyncBN
}


class SlimmableMixin(SlimmableNetwork):
    """What every slimmable backbone shares; put before the stock network.

    The stock network builds every convolution by ``conv_cfg`` and every BatchNorm by
    ``norm_cfg``, and has ``out_channels`` or overrides :attr:`feature_channels`.

    Args:
        *args: As the stock network.
        width_divisor: Sub-networks keep multiples of this many channels. 1 is the paper's
            rule; 8 or 16 suit kernels that want aligned channels.
        conv_cfg: None, Conv2d or ConvWS.
        norm_cfg: None, BN or SyncBN; where ``takes_groups``, also GN, before which convolutions
            keep whole groups.
        **kwargs: As the stock network.
    """

    takes_groups = False  # whether a normalisation follows every convolution, of its channels
    out_channels: int

    def __init__(
        self,
        *args: Any,
        width_divisor: int = 1,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        **kwargs: Any,
    ) -> None:
        conv_cfg = _slim('conv_cfg', conv_cfg or {'type': 'Conv2d'}, SLIM_CONVS, 'Conv2d or ConvWS')
        norms, kinds = SLIM_NORMS, 'BN or SyncBN'
        if self.takes_groups:
            norms, kinds = SLIM_NORMS | {nn.GroupNorm: SlimGroupNorm}, 'BN, SyncBN or GN'
        norm_cfg = _slim('norm_cfg', norm_cfg or {'type': 'BN'}, norms, kinds)
        conv_cfg['divisor'] = width_divisor
        super().__init__(*args, conv_cfg=conv_cfg, norm_cfg=norm_cfg, **kwargs)
        self.width_divisor = width_divisor
        self._set_rounding()
        if norm_cfg['type'] is SlimGroupNorm:
            for module in self.modules():
                if isinstance(module, SlimConv):
                    size = module.out_channels // norm_cfg['num_groups']
                    module.divisor = lcm(module.divisor, size)

    def _set_rounding(self) -> None:
        """Set which convolutions round as the middle of a bottleneck."""

    @property
    def feature_channels(self) -> tuple[int, ...]:
        """Channels of each map that :meth:`forward` returns."""
        return (self.out_channels,)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the maps (N, C_i, H_i, W_i) of images (N, C, H, W).

        C_i are the full network's channels at any width: a sub-network's last ones are zero.

        Raises:
            ConfigError: If torch.fx traces the network, which would lose its sub-networks.
        """
        if isinstance(x, torch.fx.Proxy):
            raise ConfigError(
                f'{type(self).__name__} cannot be traced by torch.fx, which would fix its width: '
                'remove efficient_conv_bn_eval, or use the stock backbone'
            )
        if self.width is None:
            return super().forward(x)
        return tuple(
            pad_channels(out, channels)
            for out, channels in zip(super().forward(x), self.feature_channels, strict=True)
        )


def _slim(
    key: str, cfg: Mapping[str, Any], slim: Mapping[Any, type], expected: str
) -> dict[str, Any]:
    """Return the config of a layer with the slimmable class."""
    kind: Any = class_of(cfg.get('type'), MODELS)
    if (kind not in slim and kind not in slim.values()) or cfg.get('groups', 1) != 1:
        raise ConfigError(
            f'model.backbone.{key}={cfg!r} cannot be sliced, expected type {expected} without '
            f'groups: remove {key} from the slimmable backbone'
        )
    return {**cfg, 'type': slim.get(kind, kind)}
