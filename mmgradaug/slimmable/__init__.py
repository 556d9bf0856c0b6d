"""Slimmable layers and networks: the first channels of every layer form a sub-network.

Networks of residual blocks can be shallower besides: a sub-network has some of the blocks.
"""

from .channels import active_channels, check_width
from .depth import SkippableBlock, at_depth, draw_depth, linear_survival, skippable_blocks
from .extract import extract_subnet
from .layers import (
    SlimBatchNorm2d,
    SlimConv,
    SlimConv2d,
    SlimGroupNorm,
    Slimmable,
    SlimmableNetwork,
    SlimSyncBatchNorm,
    pad_channels,
)
from .width import at_width, has_slimmable_layers
