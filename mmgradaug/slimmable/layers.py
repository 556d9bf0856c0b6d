"""Convolution and normalisation layers that can run on their first channels only.

Parameters, buffers and state-dict keys are the parent class's. A layer at full width
outside a sub-network pass calls its parent's ``forward`` unchanged, so it is the stock
layer bit by bit.

Slicing reads the input: a layer takes as many input channels as it is given, so only the
number of output channels of a convolution depends on the width. A convolution in groups keeps the
first whole groups of both, by the divisors of itself and of the one before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from .channels import active_channels


class SlimConv(nn.Conv2d if TYPE_CHECKING else object):  # type: ignore[misc]
    """What every slimmable convolution shares; put before the plain one.

    Args:
        *args: As the plain convolution.
        divisor: See :func:`~mmgradaug.slimmable.channels.active_channels`.
        quarter: See :func:`~mmgradaug.slimmable.channels.active_channels`.
        **kwargs: As the plain convolution.
    """

    width: float | None = None  # None: the full network; set by `at_width`

    def __init__(self, *args: Any, divisor: int = 1, quarter: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.divisor = divisor
        self.quarter = quarter

    @property
    def groups(self) -> int:  # type: ignore[override]
        """Groups at the current width.

        Raises:
            ValueError: If the active output channels are not whole groups.
        """
        groups = self.full_groups
        if self.width is None or groups == 1:
            return groups
        kept, rest = divmod(self.active_out_channels * groups, self.out_channels)
        if rest:
            size = self.out_channels // groups
            raise ValueError(
                f'{type(self).__name__} of {groups} groups keeps {self.active_out_channels} of '
                f'{self.out_channels} channels, expected a multiple of {size}, the size of its '
                'groups: set its divisor, and that of the convolution before it, to that'
            )
        return kept

    @groups.setter
    def groups(self, groups: int) -> None:
        self.__dict__['groups'] = groups  # where torch's own representation looks for it

    @property
    def full_groups(self) -> int:
        """Groups at full width."""
        return self.__dict__['groups']

    @property
    def active_out_channels(self) -> int:
        """Output channels at the current width."""
        if self.width is None:
            return self.out_channels
        return active_channels(self.out_channels, self.width, self.divisor, self.quarter)

    def channels_per_filter(self, in_channels: int) -> int:
        """How many of each filter's inputs are read, given the channels of the layer's input."""
        return in_channels if self.full_groups == 1 else self.weight.size(1)

    def plain(self, in_channels: int) -> nn.Module:
        """The plain convolution of these inputs, as wide as this is now, with undefined values."""
        raise NotImplementedError


class SlimConv2d(SlimConv, nn.Conv2d):
    """Convolution that keeps its first output channels at the current width."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``x`` (N, C_active_in, H, W) to (N, C_active_out, H', W')."""
        out, in_ = self.active_out_channels, x.size(1)
        if out == self.out_channels and in_ == self.in_channels:
            return super().forward(x)
        bias = None if self.bias is None else self.bias[:out]
        return self._conv_forward(x, self.weight[:out, : self.channels_per_filter(in_)], bias)

    def plain(self, in_channels: int) -> nn.Conv2d:
        """A ``nn.Conv2d`` of these inputs, as wide as this is now, with undefined values."""
        return nn.Conv2d(
            in_channels,
            self.active_out_channels,
            self.kernel_size,  # type: ignore[arg-type]
            self.stride,  # type: ignore[arg-type]
            self.padding,  # type: ignore[arg-type]
            self.dilation,  # type: ignore[arg-type]
            self.groups,
            bias=self.bias is not None,
            padding_mode=self.padding_mode,
            device=self.weight.device,
            dtype=self.weight.dtype,
        )


class SlimBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm that normalises as many channels as it is given.

    Whether a pass reads or updates running statistics is not decided here: `at_width` sets
    it for every BatchNorm of a model alike, slimmable or not.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x`` (N, C_active, H, W)."""
        channels = x.size(1)
        if channels == self.num_features:
            return super().forward(x)
        # A narrow input in training mode comes from a sub-network pass: its own batch
        # statistics, and the running ones stay out of reach.
        return F.batch_norm(
            x,
            None if self.training else _first(self.running_mean, channels),
            None if self.training else _first(self.running_var, channels),
            _first(self.weight, channels),
            _first(self.bias, channels),
            training=self.training or self.running_mean is None,
            momentum=0.0,
            eps=self.eps,
        )


class SlimSyncBatchNorm(nn.SyncBatchNorm):
    """SyncBatchNorm that normalises as many channels as it is given.

    Every process must run the same width in the same pass, since they exchange statistics.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x`` (N, C_active, H, W) with the statistics of all processes."""
        channels = x.size(1)
        own = next((t for t in (self.weight, self.running_mean) if t is not None), None)
        if own is None or channels == own.size(0):
            return super().forward(x)
        # Calls this forward again with narrow tensors in place of the layer's own, which
        # then takes the branch above: the reduction itself stays torch's.
        tensors = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        narrow = {name: t[:channels] if t.dim() else t for name, t in tensors.items()}
        return functional_call(self, narrow, (x,))


class SlimGroupNorm(nn.GroupNorm):
    """GroupNorm that normalises as many whole groups as it is given.

    Groups keep their size. So a convolution before it has to keep a multiple of that many
    channels, which its ``divisor`` sees to.

    Args:
        num_channels: Channels of the full layer.
        num_groups: Its groups.
        **kwargs: As ``nn.GroupNorm``.
    """

    def __init__(self, num_channels: int, num_groups: int, **kwargs: Any) -> None:
        super().__init__(num_groups, num_channels, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x`` (N, C_active, H, W).

        Raises:
            ValueError: If the channels are not whole groups.
        """
        channels = x.size(1)
        if channels == self.num_channels:
            return super().forward(x)
        weight, bias = _first(self.weight, channels), _first(self.bias, channels)
        return F.group_norm(x, self._groups(channels), weight, bias, self.eps)

    def plain(self, channels: int) -> nn.GroupNorm:
        """A ``nn.GroupNorm`` of the first channels, with undefined values."""
        layer = nn.GroupNorm(self._groups(channels), channels, self.eps, self.affine)
        return layer.to(next(self.parameters(), torch.empty(0)))

    def _groups(self, channels: int) -> int:
        groups, rest = divmod(channels * self.num_groups, self.num_channels)
        if rest:
            raise ValueError(
                f'SlimGroupNorm got {channels} channels, expected a multiple of '
                f'{self.num_channels // self.num_groups}, the size of its groups: set the divisor '
                'of the convolution before it to that'
            )
        return groups


def restore_slim_norms(network: nn.Module) -> None:
    """Make a slimmable network's BatchNorms slimmable again after a conversion.

    mmengine and torch convert BatchNorm to SyncBatchNorm and back by replacing every layer by
    one of their own, which cannot slice. The layers' tensors stay what they are.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm) and not isinstance(
            module, (SlimBatchNorm2d, SlimSyncBatchNorm)
        ):
            is_sync = isinstance(module, nn.SyncBatchNorm)
            module.__class__ = SlimSyncBatchNorm if is_sync else SlimBatchNorm2d


def _first(tensor: Tensor | None, channels: int) -> Tensor | None:
    """The first ``channels`` entries of a per-channel tensor, if there is one."""
    return None if tensor is None else tensor[:channels]


def pad_channels(x: Tensor, channels: int) -> Tensor:
    """Pad ``x`` (N, C, H, W) with silent channels to (N, ``channels``, H, W).

    Feeding the result to a layer equals slicing that layer's input channels, so whatever
    consumes a backbone needs no change.
    """
    missing = channels - x.size(1)
    return F.pad(x, (0, 0, 0, 0, 0, missing)) if missing else x
