"""Slimmable layers and networks: the first channels of every layer form a sub-network.

Networks of residual blocks can be shallower besides: a sub-network has some of the blocks.

Depends on torch only.
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

__all__ = [
    'SkippableBlock',
    'SlimBatchNorm2d',
    'SlimConv',
    'SlimConv2d',
    'SlimGroupNorm',
    'SlimSyncBatchNorm',
    'Slimmable',
    'SlimmableNetwork',
    'active_channels',
    'at_depth',
    'at_width',
    'check_width',
    'draw_depth',
    'extract_subnet',
    'has_slimmable_layers',
    'linear_survival',
    'pad_channels',
    'skippable_blocks',
]
