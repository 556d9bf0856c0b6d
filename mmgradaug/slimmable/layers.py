"""Convolution and normalisation layers that can run on their first channels only.

Parameters, buffers and state-dict keys are the parent class's. Outside a sub-network pass a
layer calls its parent's ``forward`` unchanged, so it is the stock layer bit by bit.

A layer takes as many input channels as it is given, so only the number of output channels of a
convolution depends on the width. A convolution in groups keeps the first whole groups of both, by
the divisors of itself and of the one before it.
"""

from typing import TYPE_CHECKING, Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from .channels import active_channels


class Slimmable(nn.Module if TYPE_CHECKING else object):  # type: ignore[misc]
    """A module that depends on the width; put before the stock class."""

    width: float | None = None  # share of the channels, set by `at_width`; None is all of them

    def set_width(self, width: float | None) -> None:
        """Run as the sub-network of a width from now on, or as the full network."""
        self.width = width


class SlimmableNetwork(Slimmable):
    """A network whose convolutions and BatchNorms are all slimmable; put before the stock class."""

    stock_cls: type[nn.Module]  # of which `extract_subnet` makes sub-networks

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.built_with = args, kwargs  # of the stock class


class SlimConv(Slimmable):
    """What every slimmable convolution shares; put before the stock class.

    ``divisor`` and ``bottleneck_rounding`` are those of
    :func:`~mmgradaug.slimmable.channels.active_channels`; ``active_out_channels`` are the output
    channels at the current width.
    """

    stock_cls: type[nn.Module]
    own_options: tuple[str, ...] = ()  # it has besides those of every convolution

    def __init__(
        self, *args: Any, divisor: int = 1, bottleneck_rounding: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.divisor = divisor
        self.bottleneck_rounding = bottleneck_rounding
        self.active_out_channels = self.out_channels

    def set_width(self, width: float | None) -> None:
        """Run as the sub-network of a width from now on; ``groups`` follows."""
        super().set_width(width)
        share = 1.0 if width is None else width
        active = active_channels(self.out_channels, share, self.divisor, self.bottleneck_rounding)
        self.active_out_channels = active
        groups = self.in_channels // self.weight.size(1)  # of the full network
        if groups > 1:
            self.groups, rest = divmod(active * groups, self.out_channels)
            if rest:
                size = self.out_channels // groups
                raise ValueError(f'{active} channels, expected a multiple of {size}: set divisor')

    def active_weight(self, in_channels: int) -> Tensor:
        """Return the weight at the current width for an input of so many channels."""
        # In groups a filter has fewer inputs than the layer, and reads them all.
        in_groups = self.weight.size(1) < self.in_channels
        return self.weight[: self.active_out_channels, : None if in_groups else in_channels]

    def to_dense(self, in_channels: int) -> nn.Module:
        """Return the stock layer of these inputs, as wide as this is now, with undefined values."""
        names = ('kernel_size', 'stride', 'padding', 'dilation', 'groups', *self.own_options)
        return self.stock_cls(
            in_channels,
            self.active_out_channels,
            bias=getattr(self, 'bias', None) is not None,  # mmcv's DCN has no such attribute
            **{name: getattr(self, name) for name in names},
        )


class SlimConv2d(SlimConv, nn.Conv2d):
    """Convolution that keeps its first output channels at the current width."""

    stock_cls = nn.Conv2d
    own_options = ('padding_mode',)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``x`` (N, C_active_in, H, W) to (N, C_active_out, H', W')."""
        if self.width is None:
            return super().forward(x)
        bias = None if self.bias is None else self.bias[: self.active_out_channels]
        return self._conv_forward(x, self.active_weight(x.size(1)), bias)


class _SlimBatchNorm(Slimmable, _BatchNorm if TYPE_CHECKING else object):  # type: ignore[misc]
    """What both kinds of BatchNorm share; put before the stock class."""

    stock_cls: type[_BatchNorm]

    def to_dense(self, channels: int) -> nn.Module:
        """Return the stock BatchNorm of the first channels, with undefined values."""
        tracks = self.running_mean is not None
        return self.stock_cls(channels, self.eps, self.momentum, self.affine, tracks)


class SlimBatchNorm2d(_SlimBatchNorm, nn.BatchNorm2d):
    """BatchNorm that normalises as many channels as it is given.

    Whether a pass reads or updates running statistics is not decided here: `at_width` sets
    it for every BatchNorm of a model alike, slimmable or not.
    """

    stock_cls = nn.BatchNorm2d

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x`` (N, C_active, H, W)."""
        if self.width is None:
            return super().forward(x)
        mean, var = (None, None) if self.training else (self.running_mean, self.running_var)
        mean, var, weight, bias = (
            _first(tensor, x.size(1)) for tensor in (mean, var, self.weight, self.bias)
        )
        return F.batch_norm(x, mean, var, weight, bias, mean is None, 0.0, self.eps)


class SlimSyncBatchNorm(_SlimBatchNorm, nn.SyncBatchNorm):
    """SyncBatchNorm that normalises as many channels as it is given.

    Every process must run the same width in the same pass, since they exchange statistics.
    """

    stock_cls = nn.SyncBatchNorm

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x`` (N, C_active, H, W) with the statistics of all processes."""
        channels = x.size(1)
        tensors = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        narrow = {k: t[:channels] for k, t in tensors.items() if t.dim() and t.size(0) > channels}
        if not narrow:
            return super().forward(x)
        # Calls this forward again with narrow tensors in place of the layer's own, which
        # then takes the branch above: the reduction itself stays torch's.
        return functional_call(self, narrow, (x,))


class SlimGroupNorm(Slimmable, nn.GroupNorm):
    """GroupNorm that normalises as many whole groups as it is given.

    Groups keep their size. So a convolution before it has to keep a multiple of that many
    channels, which its ``divisor`` sees to.
    """

    def __init__(self, num_channels: int, num_groups: int, **kwargs: Any) -> None:
        super().__init__(num_groups, num_channels, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x`` (N, C_active, H, W)."""
        if self.width is None:
            return super().forward(x)
        channels = x.size(1)
        weight, bias = _first(self.weight, channels), _first(self.bias, channels)
        return F.group_norm(x, self._groups(channels), weight, bias, self.eps)

    def to_dense(self, channels: int) -> nn.Module:
        """Return a ``nn.GroupNorm`` of the first channels, with undefined values."""
        return nn.GroupNorm(self._groups(channels), channels, self.eps, self.affine)

    def _groups(self, channels: int) -> int:
        return channels * self.num_groups // self.num_channels


def restore_slim_norms(network: SlimmableNetwork) -> None:
    """Make a network's BatchNorms slimmable again after a conversion.

    mmengine and torch convert BatchNorm to SyncBatchNorm and back by layers of their own. They
    change their class, as torch's lazy layers do, and keep their tensors: an optimizer has them.
    Norms of a user's layers that do more, or are of vectors, stay.
    """
    plain = (_BatchNorm.forward, nn.SyncBatchNorm.forward)
    for norm in network.modules():
        is_one = isinstance(norm, _BatchNorm) and type(norm).forward in plain
        if is_one and not isinstance(norm, (Slimmable, nn.BatchNorm1d, nn.BatchNorm3d)):
            is_synced = isinstance(norm, nn.SyncBatchNorm)
            norm.__class__ = SlimSyncBatchNorm if is_synced else SlimBatchNorm2d


def _first(tensor: Tensor | None, channels: int) -> Tensor | None:
    """Return the first entries of a per-channel tensor, if there is one."""
    return None if tensor is None else tensor[:channels]


def pad_channels(x: Tensor, channels: int) -> Tensor:
    """Pad ``x`` (N, C, H, W) with silent channels to (N, ``channels``, H, W).

    Feeding the result to a layer equals slicing that layer's input channels.
    """
    missing = channels - x.size(1)
    return F.pad(x, (0, 0, 0, 0, 0, missing)) if missing else x
