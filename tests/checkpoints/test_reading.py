"""Contents and weights of checkpoints."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

from mmgradaug.checkpoints.reading import read_checkpoint, weights_of


def test_what_is_no_checkpoint_is_named_with_its_key(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'^load_from: no checkpoint at .*none\.pth'):
        read_checkpoint(tmp_path / 'none.pth', 'load_from')
    path = tmp_path / 'list.pth'
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match=r'^--resume: .*list\.pth holds a list, expected a check'):
        read_checkpoint(path, '--resume')
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r'list\.pth \(200 bytes\) is damaged'):
        read_checkpoint(path)


def test_weights_have_the_networks_own_names_and_versions():
    network = nn.Sequential(OrderedDict(backbone=nn.BatchNorm2d(2), neck=nn.Conv2d(2, 1, 1)))
    state = network.state_dict()
    assert list(weights_of(state, 'a.pth')) == list(state)
    kept = weights_of({'state_dict': state, 'meta': {}}, 'a.pth', 'backbone')
    assert list(kept) == list(network.backbone.state_dict())
    assert kept._metadata[''] == {'version': 2}
    wrapped = nn.ModuleDict({'module': network}).state_dict()
    found = weights_of({'state_dict': wrapped}, 'a.pth')
    assert list(found) == list(state)
    assert found._metadata['backbone'] == {'version': 2}


@pytest.mark.parametrize('empty', [{'meta': {}}, {'state_dict': {}}, {'state_dict': None}, {}])
def test_missing_weights_are_named(empty):
    keys = ', '.join(empty) or 'none'
    with pytest.raises(ValueError, match=rf'a\.pth has no weights \(its keys: {keys}\)'):
        weights_of(empty, 'a.pth')
    with pytest.raises(
        ValueError, match=r"no weights that start with 'backbone\.' \(its keys: w\)"
    ):
        weights_of({'w': torch.ones(1)}, 'a.pth', 'backbone')


def test_weights_that_are_not_numbers_are_named():
    state = {'a': torch.ones(2), 'b.weight': torch.tensor([1.0, float('nan')])}
    with pytest.raises(ValueError, match=r'mine\.pth: 1 of 2 values of b\.weight are NaN.*earlier'):
        weights_of(state, 'mine.pth')
