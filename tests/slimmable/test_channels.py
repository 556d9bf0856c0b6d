import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmgradaug.slimmable import active_channels, check_width
from mmgradaug.slimmable.channels import round_half_up

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
    channels=st.integers(1, 512),
    widths=st.tuples(WIDTHS, WIDTHS),
    rounding=st.booleans(),
    divisor=st.sampled_from([1, 8]),
)
def test_wider_keeps_no_fewer(channels, widths, rounding, divisor):
    low, high = (active_channels(channels, w, divisor, rounding) for w in sorted(widths))
    if divisor == 1:
        assert low <= high
    else:  # the floor of 0.9 may lift a narrow layer by one multiple
        assert low <= high + divisor


def test_halves_round_up():
    assert [round_half_up(x) for x in (0.5, 1.5, 2.5)] == [1, 2, 3]
    assert round_half_up(12, 8) == 16


@pytest.mark.parametrize('width', [0, -0.5, 1.01, float('nan'), '0.9', None, True])
def test_bad_width_is_named(width):
    with pytest.raises(ValueError, match='width must be a number in'):
        check_width(width)
