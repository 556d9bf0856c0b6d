"""The width rule: how many channels a layer keeps in a sub-network.

A sub-network of width ``w`` owns the first ``w * 100 %`` channels of every layer
(GradAug, section 3.1). Rounding that product to a whole number of channels is the
only freedom left; it is decided here and nowhere else.
"""

import math

from ..errors import ConfigError


def check_width(width: float, name: str = 'width') -> float:
    """Return ``width``; raise a ConfigError, which calls it ``name``, unless it is in (0, 1]."""
    if isinstance(width, bool) or not isinstance(width, (int, float)) or not 0 < width <= 1:
        raise ConfigError(
            f'{name} must be a number in (0, 1], got {width!r}: it is the share of channels that '
            'a sub-network keeps, for example 0.9'
        )
    return float(width)


def round_half_up(value: float, divisor: int = 1) -> int:
    """Round ``value`` to the nearest multiple of ``divisor``, halves upwards."""
    return math.floor(value / divisor + 0.5) * divisor


def active_channels(
    channels: int, width: float, divisor: int = 1, bottleneck_rounding: bool = False
) -> int:
    """Return the number of channels that a layer keeps at a width; all of them at width 1.

    The nearest multiple of ``divisor``, at least one and 0.9 of the exact product.

    Args:
        channels: Channels of the full layer.
        width: Share of the channels to keep, in (0, 1].
        divisor: Keep a multiple of this many channels (8 or 16 suit kernels that want
            aligned channels). 1 is the paper's rule.
        bottleneck_rounding: The rule for the stem and the middle of a bottleneck, which has a
            quarter of its output's channels: a quarter of the rounded output, rounded down, so 64
            at 0.9 keeps 57. Only with ``divisor=1``; a larger divisor rounds every layer
            to its own multiple.
    """
    if width == 1:
        return channels
    if bottleneck_rounding and divisor == 1:
        return max(1, active_channels(4 * channels, width) // 4)
    exact = channels * width
    kept = max(divisor, round_half_up(exact, divisor))
    if kept < 0.9 * exact:
        kept += divisor
    return min(kept, channels)
