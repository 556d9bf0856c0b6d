import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmgradaug.slimmable import active_channels, check_width

WIDTHS = st.floats(0.01, 1.0)
PLAIN = [(256, 0.9, 230), (64, 0.9, 58), (10, 0.85, 9), (10, 0.25, 3), (3, 0.01, 1)]
# By the authors' code; 4 * 64 * 0.937 = 239.87 rounds to 240, a quarter of which is 60.
RELEASED = [(64, 0.9, 57), (128, 0.9, 115), (256, 0.9, 230), (512, 0.9, 460), (64, 0.937, 60)]


@pytest.mark.parametrize(
    ('case', 'rounding'), [(c, False) for c in PLAIN] + [(c, True) for c in RELEASED]
)
def test_the_rule(case, rounding):
    channels, width, kept = case
    assert active_channels(channels, width, bottleneck_rounding=rounding) == kept


@given(channels=st.integers(1, 2048), width=WIDTHS, divisor=st.sampled_from([1, 8, 16]))
def test_bounds(channels, width, divisor):
    kept = active_channels(channels, width, divisor)
    assert 1 <= kept <= channels
    assert kept >= min(channels, 0.9 * channels * width)
    assert kept == channels or kept % divisor == 0


@given(
    channels=st.tuples(st.integers(1, 1024), st.integers(1, 1024)),
    widths=st.tuples(WIDTHS, WIDTHS),
    divisor=st.sampled_from([1, 8, 16]),
    rounding=st.booleans(),
)
def test_more_channels_and_wider_ones_keep_no_fewer(channels, widths, divisor, rounding):
    """So that a shortcut never has more channels than the block's output, at any width."""
    (few, many), (low, high) = sorted(channels), sorted(widths)
    kept = active_channels(few, low, divisor, rounding)
    assert kept <= active_channels(many, low, divisor, rounding)
    # The stem rounds as a quarter, the block after it does not.
    assert active_channels(few, low, divisor, True) <= active_channels(4 * many, low, divisor)
    lift = divisor if divisor > 1 else 0  # the floor of 0.9 may lift a narrow layer by one multiple
    assert kept <= active_channels(few, high, divisor, rounding) + lift


@pytest.mark.parametrize('width', [0, -0.5, 1.01, float('nan'), '0.9', None, True])
def test_bad_width_is_named(width):
    with pytest.raises(ValueError, match='width must be a number in'):
        check_width(width)
