import pytest

from mmgradaug.evaluation.spread import Comparison, Spread, difference, verdict


def test_mean_and_spread_by_seed():
    one, other = Spread((90.0, 94.0, 92.0)), Spread((90.0, 91.0, 92.0))
    assert one.to_dict() == {'mean': 92.0, 'std': 2.0, 'by_seed': [90.0, 94.0, 92.0]}
    assert str(one) == '92.00 ± 2.00'
    assert difference(one, other).values == (0.0, 3.0, 0.0)
    assert Spread((90.0,)).to_dict()['std'] is None
    with pytest.raises(ValueError, match='shorter'):
        difference(one, Spread((90.0, 91.0)))


@pytest.mark.parametrize(('values', 'words'), [
    ([91.0, 92.0], 'with every seed'), ([90.0, 80.0], 'with no seed'),
    ([90.5, 80.0], 'with 1 of 2 seeds'),
])  # fmt: skip
def test_a_loss_is_said_as_plainly_as_a_win(values, words):
    found = {'baseline': [90.0, 91.0], 'GradAug': values}
    assert verdict(found, 'GradAug', 'baseline') == f'GradAug is better {words}'


def test_a_comparison_is_of_two_ways_and_tells_of_all():
    values = {'baseline': [90.0, 91.0], 'GradAug': [90.5, 92.0], 'fast': [80.0, 81.0]}
    comparison = Comparison('top1', values, 'GradAug', 'baseline')
    assert comparison.gap.listed == '0.50, 1.00'
    found = comparison.to_dict()
    assert {name: spread['mean'] for name, spread in found['top1'].items()} == {
        'baseline': 90.5, 'GradAug': 91.25, 'fast': 80.5
    }  # fmt: skip
    assert found['difference']['mean'] == 0.75
    assert found['verdict'] == 'GradAug is better with every seed'
    assert found['seeds'] == 2
