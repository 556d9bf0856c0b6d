import copy
import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.optim import OneCycleLR
from mmengine.runner import CheckpointLoader, load_checkpoint
from torch import nn

from mmgradaug.checkpoints.safe_loading import (
    ONLY_DATA,
    TRUST_ALL,
    UnsafeCheckpointError,
    load_file,
    safe_loading,
)
from tests.harmful import Command


@pytest.fixture(autouse=True)
def nothing_allowed(monkeypatch):
    """What other tests and the caller's environment allow does not count here."""
    for name in (ONLY_DATA, TRUST_ALL):
        monkeypatch.delenv(name, raising=False)
    with torch.serialization.safe_globals([]):
        allowed = torch.serialization.get_safe_globals()
        torch.serialization.clear_safe_globals()
        yield
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(allowed)


def run_state():
    """What mmengine writes beside the weights, message hub, schedules and numbers of numpy."""
    hub = MessageHub('test_safe_loading')
    for value in (3.0, 1.0, 2.0):
        hub.update_scalar('train/loss', value)
    hub.update_info('best', np.float64(0.5))
    hub.update_info('classes', np.array(['nucleus', 'cell']))
    optimizer = torch.optim.SGD(nn.Linear(2, 1).parameters(), lr=0.1, momentum=0.9)
    schedule = OneCycleLR(optimizer, eta_max=0.1, total_steps=9)
    return dict(
        message_hub=hub.state_dict(),
        param_schedulers=[schedule.state_dict()],
        optimizer=optimizer.state_dict(),
        state_dict=nn.Linear(2, 1).state_dict(),
    )


@pytest.fixture(params=[os.system, eval], ids=['system', 'eval'])
def harmful(request, tmp_path):
    """A checkpoint with weights that executes a command, and the file that the command makes."""
    made = tmp_path / 'made'
    path = tmp_path / 'harmful.pth'
    weights = nn.Linear(2, 1).state_dict()
    torch.save(dict(state_dict=weights, meta=Command(made, request.param)), path)
    torch.load(path, weights_only=False)
    assert made.exists()  # It does harm where it is executed.
    made.unlink()
    return path, made


def test_state_of_a_run_is_read_as_it_was_written(tmp_path):
    written = run_state()
    torch.save(written, tmp_path / 'epoch_1.pth')
    read = load_file(tmp_path / 'epoch_1.pth')
    history = read['message_hub']['log_scalars']['train/loss']
    assert isinstance(history, HistoryBuffer)
    assert history.data[0].tolist() == [3.0, 1.0, 2.0]
    assert (history.statistics('mean'), history.statistics('min')) == (2.0, 1.0)
    info = read['message_hub']['runtime_info']
    assert info['best'] == 0.5
    assert info['classes'].tolist() == ['nucleus', 'cell']
    anneal = read['param_schedulers'][0]['anneal_func']
    assert anneal(1.0, 3.0, 0.5) == pytest.approx(2.0)
    assert torch.equal(read['state_dict']['weight'], written['state_dict']['weight'])


@pytest.mark.parametrize(('there', 'here'), [('core', '_core'), ('_core', 'core')])
def test_files_of_another_numpy_load(tmp_path, there, here):
    """numpy 2 renamed numpy.core to numpy._core; files keep the name they were written with."""
    torch.save(run_state(), tmp_path / 'own.pth')
    renamed = tmp_path / 'other.pth'
    with zipfile.ZipFile(tmp_path / 'own.pth') as source, zipfile.ZipFile(renamed, 'w') as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith('data.pkl'):
                content = content.replace(
                    f'numpy.{here}.multiarray'.encode(), f'numpy.{there}.multiarray'.encode()
                )
                assert f'numpy.{there}.multiarray'.encode() in content
            target.writestr(name, content)
    history = load_file(renamed)['message_hub']['log_scalars']['train/loss']
    assert history.data[0].tolist() == [3.0, 1.0, 2.0]


def test_what_would_execute_a_command_is_refused(harmful):
    path, made = harmful
    with pytest.raises(UnsafeCheckpointError) as error:
        load_file(path)
    assert not made.exists()
    message = str(error.value)
    assert f'{path} holds ' in message
    assert 'posix.system' in message or 'builtins.eval' in message
    assert f'{TRUST_ALL}=1' in message


def test_what_mmengine_would_execute_is_refused(harmful):
    path, made = harmful
    with safe_loading(), pytest.raises(UnsafeCheckpointError, match=r'harmful\.pth holds '):
        load_checkpoint(nn.Linear(2, 1), str(path))
    assert not made.exists()


def test_what_mmengine_fetches_is_loaded_as_data_too(harmful, tmp_path, monkeypatch):
    path, made = harmful
    folder = tmp_path / 'hub' / 'checkpoints'  # torch takes from here what it has fetched before
    folder.mkdir(parents=True)
    path.rename(folder / path.name)
    torch.save(run_state(), folder / 'run.pth')
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    with safe_loading():
        run = CheckpointLoader.load_checkpoint('https://localhost/run.pth')
    assert run['message_hub']['log_scalars']['train/loss'].current() == 2.0
    refused = pytest.raises(
        UnsafeCheckpointError, match=r'/harmful\.pth holds (posix\.system|eval|builtins\.eval), exp'
    )
    with refused, safe_loading():
        CheckpointLoader.load_checkpoint('https://localhost/harmful.pth')
    assert not made.exists()


def test_old_format_and_bare_pickles_are_refused(tmp_path):
    made = tmp_path / 'made'
    torch.save(Command(made), tmp_path / 'a.pth', _use_new_zipfile_serialization=False)
    (tmp_path / 'b.pth').write_bytes(pickle.dumps(Command(made), protocol=2))
    for name in ('a.pth', 'b.pth'):
        with pytest.raises(UnsafeCheckpointError, match='system'):
            load_file(tmp_path / name)
    assert not made.exists()


class Attribute:
    """Pickled as getattr(owner, name)."""

    def __init__(self, owner, name):
        self.owner, self.name = owner, name

    def __reduce__(self):
        return (getattr, (self.owner, self.name))


@pytest.mark.parametrize('name', ['__init__', '__class__', '_statistics_methods', 'update'])
def test_getattr_reaches_nothing_but_statistics(tmp_path, name):
    torch.save(Attribute(HistoryBuffer, name), tmp_path / 'a.pth')
    with pytest.raises(UnsafeCheckpointError, match=rf'holds HistoryBuffer\.{name}, '):
        load_file(tmp_path / 'a.pth')
    torch.save(Attribute(HistoryBuffer, 'mean'), tmp_path / 'a.pth')
    assert load_file(tmp_path / 'a.pth') is HistoryBuffer.mean


def test_everything_unknown_is_named(tmp_path):
    torch.save([io.StringIO, copy.deepcopy, HistoryBuffer], tmp_path / 'a.pth')
    with pytest.raises(UnsafeCheckpointError, match=r'holds _io\.StringIO, copy\.deepcopy, exp'):
        load_file(tmp_path / 'a.pth')


def test_missing_and_broken_files_are_told_apart(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no checkpoint at .*none\.pth'):
        load_file(tmp_path / 'none.pth')
    whole = io.BytesIO()
    torch.save(run_state(), whole)
    broken = tmp_path / 'broken.pth'
    for size in (0, 1000):
        broken.write_bytes(whole.getvalue()[:size])
        with pytest.raises(
            ValueError, match=r'broken\.pth .* is damaged, cut short or no checkpoint'
        ):
            load_file(broken)
    torch.save(torch.zeros(1), broken)
    with pytest.raises(RuntimeError, match='no-such-device'):
        load_file(broken, map_location='no-such-device')


def test_trusting_all_files_is_the_users_choice(harmful, monkeypatch):
    path, made = harmful
    monkeypatch.setenv(TRUST_ALL, '1')
    load_file(path)
    assert made.exists()
    made.unlink()
    with safe_loading():
        load_checkpoint(nn.Linear(2, 1), str(path))
    assert made.exists()


def state_of_loading():
    """What loading depends on outside of files: loaders, environment, what torch allows."""
    allowed = torch.serialization.get_safe_globals()
    return dict(CheckpointLoader._schemes), dict(os.environ), allowed


def test_only_what_mmengine_loads_is_touched(harmful):
    """The user's own ``torch.load`` loads what it asks for, within and after."""
    path, made = harmful
    torch.serialization.add_safe_globals([HistoryBuffer])
    load, before = CheckpointLoader.load_checkpoint, state_of_loading()
    with safe_loading():
        with safe_loading():
            pass
        with pytest.raises(UnsafeCheckpointError):
            CheckpointLoader.load_checkpoint(str(path))
        assert not made.exists()
        assert state_of_loading() == before
        torch.load(path, weights_only=False)
        assert made.exists()
    assert CheckpointLoader.load_checkpoint == load
    assert state_of_loading() == before


def test_a_loader_that_the_user_registered_is_kept(harmful, monkeypatch):
    path, made = harmful

    def mine(filename, map_location):
        return torch.load(path.parent / filename.removeprefix('my:'), weights_only=False)

    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    for scheme in ('', 'my:'):
        CheckpointLoader.register_scheme(scheme, mine, force=True)
    before = state_of_loading()
    torch.save({'state_dict': {}}, path.parent / 'plain.pth')
    with safe_loading():
        for scheme in ('', 'my:'):
            assert CheckpointLoader.load_checkpoint(f'{scheme}plain.pth') == {'state_dict': {}}
            with pytest.raises(UnsafeCheckpointError, match=r'harmful\.pth holds'):
                CheckpointLoader.load_checkpoint(f'{scheme}harmful.pth')
    assert not made.exists()
    assert state_of_loading() == before


def test_getattr_is_not_allowed_to_what_mmengine_fetches(tmp_path, monkeypatch):
    """The maintained mmengine allows it, with which a file reaches any method of any class."""
    folder = tmp_path / 'hub' / 'checkpoints'
    folder.mkdir(parents=True)
    torch.save(Attribute(HistoryBuffer, 'update'), folder / 'a.pth')
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    with safe_loading(), pytest.raises(UnsafeCheckpointError, match=r'HistoryBuffer\.update'):
        CheckpointLoader.load_checkpoint('https://localhost/a.pth')


def test_a_torch_that_cannot_allow_by_name_loads_weights_alone(tmp_path, monkeypatch):
    monkeypatch.delattr(torch.serialization, 'get_unsafe_globals_in_checkpoint')
    weights = nn.Linear(2, 1).state_dict()
    torch.save(dict(state_dict=weights), tmp_path / 'weights.pth')
    assert torch.equal(load_file(tmp_path / 'weights.pth')['state_dict']['bias'], weights['bias'])
    torch.save(run_state(), tmp_path / 'run.pth')
    with pytest.raises(UnsafeCheckpointError, match=r'HistoryBuffer, .*2\.6 can'):
        load_file(tmp_path / 'run.pth')


def test_damage_in_the_middle_of_a_tensor_is_found(tmp_path):
    """torch reads it as if nothing were wrong."""
    path = tmp_path / 'a.pth'
    torch.save({'state_dict': {'a': torch.ones(10_000)}}, path)
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2] ^= 64
    path.write_bytes(contents)
    assert not torch.equal(torch.load(path)['state_dict']['a'], torch.ones(10_000))
    with pytest.raises(ValueError, match=r'a\.pth .* is damaged, .*checksums'):
        load_file(path)
