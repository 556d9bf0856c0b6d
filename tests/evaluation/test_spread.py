import pytest

from mmgradaug.evaluation.spread import Spread


def test_mean_and_spread_by_seed():
    one, other = Spread((90.0, 94.0, 92.0)), Spread((90.0, 91.0, 92.0))
    assert one.to_dict() == {'mean': 92.0, 'std': 2.0, 'by_seed': [90.0, 94.0, 92.0]}
    assert str(one) == '92.00 ± 2.00'
    assert (one - other).values == (0.0, 3.0, 0.0)
    assert (Spread((90.0,)).std, str(Spread((90.0,)))) == (None, '90.00')
    with pytest.raises(ValueError, match='shorter'):
        one - Spread((90.0, 91.0))
