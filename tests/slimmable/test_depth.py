import statistics
from itertools import pairwise

import pytest
import torch
from torch import nn

from mmgradaug import at_depth
from mmgradaug.slimmable import SkippableBlock, draw_depth, linear_survival


class Constant(SkippableBlock):
    """Adds its parameter to its input."""

    def __init__(self, survival=1.0):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(2.0))
        self.survival = survival

    def residual(self, x):
        return self.value.expand_as(x)

    def shortcut(self, x):
        return x


def chain(*survivals):
    return nn.Sequential(*(Constant(survival) for survival in survivals))


def test_survival_falls_linearly():
    assert linear_survival(4, 0.5) == [0.875, 0.75, 0.625, 0.5]  # 1 - l/L (1 - 0.5)
    released = linear_survival(54, 0.8, keep_first=True)
    assert {round(a - b, 9) for a, b in pairwise(released)} == {round(0.2 / 53, 9)}
    assert linear_survival(1, 0.5, keep_first=True) == [1.0]


def test_draws_depend_on_the_seed_and_follow_the_law():
    model = chain(1.0, 0.75, 0.5, 0.1)
    assert draw_depth(model, 5) == draw_depth(model, 5)
    draws = [draw_depth(model, seed) for seed in range(4000)]
    for block, kept in zip(model, zip(*draws, strict=True), strict=True):
        spread = 4 * (block.survival * (1 - block.survival) / 4000) ** 0.5
        assert abs(statistics.mean(kept) - block.survival) <= spread
    assert len(set(draws)) > 6


def test_evaluation_multiplies_by_survival_only_where_asked_and_outside_of_subnets():
    model, x = chain(0.5, 0.25).eval(), torch.ones(1)
    assert model(x).item() == 5.0
    for block in model:
        block.expected = block.stochastic = True
    assert model(x).item() == 1 + 0.5 * 2 + 0.25 * 2
    with at_depth(model, [False, True]):
        assert model(x).item() == 3.0
    assert model.train()(x).item() in (1.0, 3.0, 5.0)  # drawn anew


def test_contexts_nest_and_restore_after_an_error():
    model = chain(1.0, 1.0)

    def fail():
        with at_depth(model, [False, False]):
            assert [block.kept for block in model] == [False, False]
        assert [block.kept for block in model] == [True, False]
        raise RuntimeError('inside')

    with pytest.raises(RuntimeError, match='inside'), at_depth(model, [True, False]):
        fail()
    assert [block.kept for block in model] == [None, None]


def test_a_depth_of_another_network_is_refused():
    model = chain(1, 1)
    with pytest.raises(ValueError, match='shorter'), at_depth(model, [False]):
        pass
    assert [block.kept for block in model] == [None, None]
