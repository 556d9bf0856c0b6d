from collections import Counter

import pytest

from mmgradaug.errors import ConfigError
from mmgradaug.training import GradAugOptions, SubnetSampler

SCALE = dict(type='RandomScale', scales=[1.0, 0.8, 0.6])


def widths(sampler, iterations=400):
    return [[s.width for s in sampler.sample(0, i)] for i in range(iterations)]


def test_smallest_width_is_always_among_several():
    draws = widths(SubnetSampler(num_subnets=3, min_width=0.8))
    assert all(draw[0] == 0.8 for draw in draws)
    others = [w for draw in draws for w in draw[1:]]
    assert min(others) >= 0.8
    assert max(others) <= 1.0
    assert abs(sum(others) / len(others) - 0.9) < 0.01


def test_one_subnet_is_random_in_the_paper_and_smallest_in_the_released_code():
    assert len({w for (w,) in widths(SubnetSampler(num_subnets=1, min_width=0.8))}) > 300
    forced = SubnetSampler(num_subnets=1, min_width=0.8, force_min_width=True)
    assert {w for (w,) in widths(forced)} == {0.8}


def test_grid_of_widths():
    sampler = SubnetSampler(num_subnets=2, min_width=0.9, force_min_width=False, width_step=0.02)
    seen = Counter(w for draw in widths(sampler, 2000) for w in draw)
    assert sorted(seen) == [0.9, 0.92, 0.94, 0.96, 0.98, 1.0]
    assert min(seen.values()) > 500  # the smallest is not forced among them


def test_draws_are_these_wherever_and_whenever_they_are_made():
    """So a run that is resumed on another machine, years later, goes on as it would have."""
    drawn = SubnetSampler(3, 0.9, transform=SCALE).sample(5, 17)
    assert [s.width for s in drawn] == [0.9, 0.9605181719215531, 0.9519767609411365]
    assert [s.transform.factor for s in drawn] == [0.6, 1.0, 1.0]


@pytest.mark.parametrize(('options', 'message'), [
    (dict(num_subnets=-1), r'gradaug\.num_subnets=-1, expected a whole number >= 0'),
    (dict(num_subnets=1.5), 'num_subnets=1.5'),
    (dict(min_width=1.2), r'gradaug\.min_width must be a number in'),
    (dict(width_step=2), 'width_step=2, expected'),
    (dict(width_step=0.5, min_width=0.8), r'width_step=0\.5, expected .* 1 - min_width = 0\.2'),
    (dict(force_min_width='no'), "force_min_width='no', expected None, True or False"),
    (dict(shrink='height'), r"shrink='height', expected one of \('width', 'depth', 'both'\)"),
    (dict(transform=dict(type='RandomScale', scale=[1.0])), r'unexpected.*_delete_=True'),
    (dict(every=0), r'every=0, expected a whole number >= 1'),
    (dict(active=(0.5, 0.5)), r'active=\(0\.5, 0\.5\), expected start and end as shares'),
    (dict(weights=dict(full=-1)), r"weights=\{'full': -1\}, expected dict\(full=\.\.\., subn"),
    (dict(weights=dict(teacher=1)), r"weights=.*'teacher': 1"),
    (dict(seed=-1), r'gradaug\.seed=-1, expected'),
    (dict(recompute_above=True), r'gradaug\.recompute_above=True, expected'),
])  # fmt: skip
def test_bad_options_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        GradAugOptions.parse(options)


def test_random_depth_is_drawn_beside_widths_and_transforms_or_at_full_width():
    options = dict(num_subnets=3, min_width=0.8, transform=SCALE)
    narrow, both, shallow = (
        SubnetSampler(**options, shrink=shrink) for shrink in ('width', 'both', 'depth')
    )
    for index in range(20):
        expected, found = narrow.sample(1, index), both.sample(1, index)
        assert [(s.width, s.transform) for s in expected] == [(s.width, s.transform) for s in found]
        assert {s.depth_seed for s in expected} == {None}
        assert len({s.depth_seed for s in found}) == 3
        drawn = shallow.sample(1, index)
        assert [s.width for s in drawn] == [1.0] * 3
        assert len({s.depth_seed for s in drawn}) == 3
        assert drawn == shallow.sample(1, index) != shallow.sample(1, index + 1)


def test_iterations_without_sub_networks_change_no_other_draw():
    def drawn(length=None, **options):
        sampler = SubnetSampler(2, 0.8, **options)
        return [sampler.sample(3, index, length) for index in range(12)]

    every = drawn()
    assert drawn(every=5) == [draw if index % 5 == 0 else [] for index, draw in enumerate(every)]
    for part, first, last in (((0.0, 0.5), 0, 5), ((0.5, 1.0), 6, 11), ((0.3, 0.6), 4, 7)):
        expected = [draw if first <= index <= last else [] for index, draw in enumerate(every)]
        assert drawn(12, active=part) == expected
        assert drawn(active=part) == every  # of unknown length
    assert drawn(7) == every  # longer than it was said to be
    assert GradAugOptions.parse(dict(weights=dict(full=0.5))).weights == dict(full=0.5, subnets=1.0)
