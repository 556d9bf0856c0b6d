"""Convolutions with standardised weights (Weight Standardization) that can be sliced."""

from __future__ import annotations

from mmcv.cnn.bricks.conv_ws import ConvWS2d, conv_ws_2d
from torch import Tensor, nn

from ..slimmable import SlimConv


class SlimConvWS2d(SlimConv, ConvWS2d, nn.Conv2d):
    """mmcv's ``ConvWS``: each filter has mean 0 and variance 1 over the inputs that it reads.

    A sub-network's filters are standardised over their first inputs, as those of the dense
    network with these weights. ``nn.Conv2d`` is named as a base for mmengine's initialisers, which
    look at direct ones.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``x`` (N, C_active_in, H, W) to (N, C_active_out, H', W')."""
        out, in_ = self.active_out_channels, x.size(1)
        if out == self.out_channels and in_ == self.in_channels:
            return super().forward(x)
        weight = self.weight[:out, : self.channels_per_filter(in_)]
        weight = weight.contiguous()  # mmcv's function asks for it
        bias = None if self.bias is None else self.bias[:out]
        return conv_ws_2d(
            x, weight, bias, self.stride, self.padding, self.dilation, self.groups, self.eps
        )

    def plain(self, in_channels: int) -> ConvWS2d:
        """A ``ConvWS2d`` of these inputs, as wide as this is now, with undefined values."""
        layer = ConvWS2d(
            in_channels,
            self.active_out_channels,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            bias=self.bias is not None,
            eps=self.eps,
        )
        return layer.to(self.weight)
