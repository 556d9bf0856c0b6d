"""Averaged and trained weights are told apart."""

import pytest
import torch

from mmgradaug.publishing.averages import choose_weights


def test_weights_are_the_validated_ones_unless_asked_otherwise():
    averaged, trained, mean = torch.tensor(1.0), torch.tensor(2.0), torch.tensor(3.0)
    checkpoint = {
        'state_dict': {'w': averaged, 'bn.running_mean': mean},
        'ema_state_dict': {'steps': torch.tensor(5), 'module.w': trained},
    }
    for choice in (None, True):
        found = choose_weights(checkpoint, 'a.pth', choice)
        assert found == {'w': averaged, 'bn.running_mean': mean}
    found = choose_weights(checkpoint, 'a.pth', averaged=False)
    assert found == {'w': trained, 'bn.running_mean': mean}


def test_missing_averages_are_named():
    with pytest.raises(ValueError, match=r'a\.pth has no averaged weights .* leave out --ema'):
        choose_weights({'state_dict': {'w': torch.ones(1)}}, 'a.pth', averaged=True)
