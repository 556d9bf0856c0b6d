"""Slimmable layers and networks: the first channels of every layer form a sub-network.

Depends on torch only.
"""

from .channels import active_channels, check_width
from .extract import extract_subnet
from .layers import SlimBatchNorm2d, SlimConv2d, SlimSyncBatchNorm, pad_channels
from .width import at_width, has_slimmable_layers

__all__ = [
    'SlimBatchNorm2d',
    'SlimConv2d',
    'SlimSyncBatchNorm',
    'active_channels',
    'at_width',
    'check_width',
    'extract_subnet',
    'has_slimmable_layers',
    'pad_channels',
]
