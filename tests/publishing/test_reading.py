"""Checkpoints are read as plain data."""

import os

import numpy as np
import pytest
import torch
from mmengine.logging.history_buffer import HistoryBuffer

from mmgradaug.publishing.reading import read_checkpoint, weights_of


class Executes:
    """Pickles as a call of a function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def test_the_data_of_a_run_are_read(tmp_path):
    history = HistoryBuffer([1.0, 3.0], [1, 1])
    contents = {
        'state_dict': {'w': torch.ones(2)},
        'message_hub': {'log_scalars': {'loss': history}, 'runtime_info': {'best': np.float64(2)}},
    }
    torch.save(contents, tmp_path / 'run.pth')
    read = read_checkpoint(tmp_path / 'run.pth')
    assert read['message_hub']['log_scalars']['loss'].mean() == 2.0
    assert read['message_hub']['runtime_info']['best'] == 2.0


def test_code_is_refused_by_name_and_not_run(tmp_path):
    path, mark = tmp_path / 'evil.pth', tmp_path / 'executed'
    torch.save({'state_dict': {}, 'x': Executes(os.system, f'touch {mark}')}, path)
    with pytest.raises(ValueError, match=r'evil\.pth holds .*posix\.system'):
        read_checkpoint(path)
    assert not mark.exists()


@pytest.mark.parametrize('name', ['__init__', '__class__', '_statistics_methods'])
def test_getattr_reaches_methods_of_logs_only(tmp_path, name):
    torch.save({'x': Executes(getattr, HistoryBuffer, name)}, tmp_path / 'evil.pth')
    with pytest.raises(ValueError, match='Nothing of it was executed'):
        read_checkpoint(tmp_path / 'evil.pth')
    torch.save({'x': Executes(getattr, torch.Tensor, 'numpy')}, tmp_path / 'evil.pth')
    with pytest.raises(ValueError, match='Nothing of it was executed'):
        read_checkpoint(tmp_path / 'evil.pth')


def test_what_is_no_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no checkpoint at .*none\.pth'):
        read_checkpoint(tmp_path / 'none.pth')
    torch.save({'w': torch.ones(1000)}, tmp_path / 'whole.pth')
    half = tmp_path / 'half.pth'
    half.write_bytes((tmp_path / 'whole.pth').read_bytes()[:2000])
    with pytest.raises(ValueError, match=r'half\.pth is not a checkpoint'):
        read_checkpoint(half)
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(ValueError, match='holds a list, expected a dictionary'):
        read_checkpoint(tmp_path / 'list.pth')


def test_weights_are_the_validated_ones_unless_asked_otherwise():
    averaged, trained, mean = torch.tensor(1.0), torch.tensor(2.0), torch.tensor(3.0)
    checkpoint = {
        'state_dict': {'w': averaged, 'bn.running_mean': mean},
        'ema_state_dict': {'steps': torch.tensor(5), 'module.w': trained},
    }
    assert weights_of(checkpoint) == {'w': averaged, 'bn.running_mean': mean}
    assert weights_of(checkpoint, averaged=True) == {'w': averaged, 'bn.running_mean': mean}
    assert weights_of(checkpoint, averaged=False) == {'w': trained, 'bn.running_mean': mean}


def test_missing_weights_are_named():
    with pytest.raises(ValueError, match=r'no averaged weights .* leave out --ema'):
        weights_of({'state_dict': {'w': torch.ones(1)}}, averaged=True)
    with pytest.raises(ValueError, match=r"no weights, expected state_dict: it holds \['meta'\]"):
        weights_of({'meta': {}})
