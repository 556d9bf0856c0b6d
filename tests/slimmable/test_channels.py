import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmgradaug.slimmable import active_channels, check_width
from mmgradaug.slimmable.channels import round_half_up

WIDTHS = st.floats(0.01, 1.0)


@pytest.mark.parametrize(
    ('channels', 'width', 'kept'),
    [(256, 0.9, 230), (64, 0.9, 58), (10, 0.85, 9), (10, 0.25, 3), (3, 0.01, 1)],
)
def test_plain_rule(channels, width, kept):
    assert active_channels(channels, width) == kept


@pytest.mark.parametrize(
    ('channels', 'width', 'kept'),
    [
        *((64, 0.9, 57), (128, 0.9, 115), (256, 0.9, 230), (512, 0.9, 460)),
        (64, 0.937, 60),  # 4 * 64 * 0.937 = 239.87 rounds to 240, a quarter of which is 60
    ],
)
def test_bottleneck_rounding_equals_the_released_code(channels, width, kept):
    assert active_channels(channels, width, bottleneck_rounding=True) == kept


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


@given(channels=st.integers(1, 4096), rounding=st.booleans(), divisor=st.sampled_from([1, 8, 16]))
def test_full_width_keeps_all(channels, rounding, divisor):
    assert active_channels(channels, 1.0, divisor, rounding) == channels


def test_halves_round_up():
    assert [round_half_up(x) for x in (0.5, 1.5, 2.5)] == [1, 2, 3]
    assert round_half_up(12, 8) == 16


@pytest.mark.parametrize('width', [0, -0.5, 1.01, float('nan'), '0.9', None, True])
def test_bad_width_is_named(width):
    with pytest.raises(ValueError, match='width must be a number in'):
        check_width(width)
