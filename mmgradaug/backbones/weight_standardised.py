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

    dense_cls = ConvWS2d
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
