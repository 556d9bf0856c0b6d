"""Channels of the images that a network takes: three, unless its config says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def image_channels(backbone: Mapping[str, Any]) -> int:
    """Channels of the images that the network of a backbone's config takes.

    Args:
        backbone: The config; mmdet's networks and those of this package call it ``in_channels``.
    """
    return int(backbone.get('in_channels', 3))
