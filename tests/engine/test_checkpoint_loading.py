"""Checkpoints are loaded as data, and damaged ones found; nothing in them is executed."""

import contextlib
import os
import pickle
import zipfile
from argparse import Namespace
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.optim import OneCycleLR
from mmengine.runner import CheckpointLoader
from mmengine.runner import load_checkpoint as mmengine_load
from torch import nn

from mmgradaug.engine import checkpoint_loading
from mmgradaug.engine.checkpoint_loading import is_damaged, load_checkpoint, weights_of
from mmgradaug.errors import ConfigError
from tests.harmful import Command

TRUST_ALL = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'


@pytest.fixture(autouse=True)
def nothing_allowed(monkeypatch):
    """What other tests and the caller's environment allow does not count here."""
    monkeypatch.delenv(TRUST_ALL, raising=False)
    allowed = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    yield
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(allowed)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Where torch takes files from that it has fetched before."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    folder = tmp_path / 'hub/checkpoints'
    folder.mkdir(parents=True)
    return folder


def run_state():
    """What mmengine writes beside the weights: message hub, schedules and numbers of numpy."""
    hub = MessageHub('test_checkpoint_loading')
    for value in (3.0, 1.0, 2.0):
        hub.update_scalar('train/loss', value)
    hub.update_info('best', np.float64(0.5))
    hub.update_info('classes', np.array(['nucleus', 'cell']))
    optimizer = torch.optim.SGD(nn.Linear(2, 1).parameters(), lr=0.1, momentum=0.9)
    schedule = OneCycleLR(optimizer, eta_max=0.1, total_steps=9)
    return dict(message_hub=hub.state_dict(), param_schedulers=[schedule.state_dict()])


@pytest.fixture(params=[os.system, eval], ids=['system', 'eval'])
def harmful(request, hub):
    """A checkpoint with weights that executes a command, and the file that the command makes."""
    made, path = hub / 'made', hub / 'harmful.pth'
    weights = nn.Linear(2, 1).state_dict()
    torch.save(dict(state_dict=weights, meta=Command(made, request.param)), path)
    return path, made


def test_state_of_a_run_is_read_as_it_was_written(tmp_path):
    torch.save(run_state(), tmp_path / 'epoch_1.pth')
    read = load_checkpoint(tmp_path / 'epoch_1.pth')
    history = read['message_hub']['log_scalars']['train/loss']
    assert history.data[0].tolist() == [3.0, 1.0, 2.0]
    assert (history.statistics('mean'), history.statistics('min')) == (2.0, 1.0)
    info = read['message_hub']['runtime_info']
    assert info['best'] == 0.5
    assert info['classes'].tolist() == ['nucleus', 'cell']
    anneal = read['param_schedulers'][0]['anneal_func']
    assert anneal(1.0, 3.0, 0.5) == pytest.approx(2.0)


@pytest.mark.parametrize(('there', 'here'), [(b'core', b'_core'), (b'_core', b'core')])
def test_files_of_another_numpy_load(tmp_path, there, here):
    """numpy 2 renamed numpy.core to numpy._core; files keep the name they were written with."""
    torch.save(run_state(), tmp_path / 'own.pth')
    renamed = tmp_path / 'other.pth'
    with zipfile.ZipFile(tmp_path / 'own.pth') as source, zipfile.ZipFile(renamed, 'w') as target:
        for name in source.namelist():
            content = source.read(name).replace(b'numpy.%s.multi' % here, b'numpy.%s.multi' % there)
            assert not name.endswith('data.pkl') or b'numpy.%s.multiarray' % there in content
            target.writestr(name, content)
    history = load_checkpoint(renamed)['message_hub']['log_scalars']['train/loss']
    assert history.data[0].tolist() == [3.0, 1.0, 2.0]


def test_what_would_execute_a_command_is_refused(harmful, monkeypatch):
    """Wherever it comes from, and whatever else is allowed."""
    path, made = harmful
    torch.serialization.add_safe_globals([HistoryBuffer])
    message = rf'{path} holds .*(posix\.system|eval), exp.*{TRUST_ALL}'
    with pytest.raises(ConfigError, match=message):
        mmengine_load(nn.Linear(2, 1), str(path))
    fetched = lambda filename: contextlib.nullcontext(path)  # noqa: E731
    monkeypatch.setattr(checkpoint_loading, 'get_local_path', fetched)
    for source in ('https://localhost/', 's3://', 'my:s3://', 'petrel://'):
        with pytest.raises(ConfigError, match=message):
            CheckpointLoader.load_checkpoint(f'{source}{path.name}')
    assert not made.exists()
    assert torch.serialization.get_safe_globals() == [HistoryBuffer]
    torch.load(path, weights_only=False)  # code of the user's own loads what it asks for
    assert made.exists()


@pytest.mark.parametrize(('name', 'file'), [
    ('torchvision://resnet18', 'resnet18-f37072fd.pth'),
    ('modelzoo://resnet18', 'resnet18-f37072fd.pth'),
    ('https://localhost/a/file.pth', 'file.pth'),
    ('open-mmlab://detectron2/resnet50_caffe', 'resnet50_msra-5891d200.pth'),
    ('openmmlab://detectron2/resnet50_caffe', 'resnet50_msra-5891d200.pth'),
])  # fmt: skip
def test_files_fetched_before_are_found_by_url_and_name(hub, name, file):
    torch.save({'a': torch.ones(2)}, hub / file)
    assert CheckpointLoader.load_checkpoint(name)['a'].tolist() == [1, 1]


@pytest.mark.parametrize('scheme', ['mmcls://', 'pavi://'])
def test_what_mmengine_fetches_in_its_own_ways_is_refused(scheme):
    with pytest.raises(ConfigError, match=f'^{scheme}a cannot be loaded as data: download it'):
        CheckpointLoader.load_checkpoint(f'{scheme}a')


def test_no_loader_of_mmengines_is_left():
    modules = {loader.__module__ for loader in CheckpointLoader._schemes.values()}
    assert modules == {load_checkpoint.__module__}


def test_old_format_and_bare_pickles_are_refused(tmp_path):
    made = tmp_path / 'made'
    torch.save(Command(made), tmp_path / 'a.pth', _use_new_zipfile_serialization=False)
    (tmp_path / 'b.pth').write_bytes(pickle.dumps(Command(made), protocol=2))
    for name in ('a.pth', 'b.pth'):
        with pytest.raises(ConfigError, match=r'holds .*system'):
            load_checkpoint(tmp_path / name)
    assert not made.exists()


class Attribute(tuple):
    """An owner and a name, pickled as getattr(owner, name)."""

    def __reduce__(self):
        return (getattr, tuple(self))


@pytest.mark.parametrize('name', ['__init__', '__class__', '_statistics_methods', 'update'])
def test_getattr_reaches_nothing_but_statistics(hub, name):
    """The maintained mmengine allows it, with which a file reaches any method of any class."""
    torch.save(Attribute((HistoryBuffer, name)), hub / 'a.pth')
    for path in (str(hub / 'a.pth'), 'https://localhost/a.pth'):
        with pytest.raises(ConfigError, match=rf'holds HistoryBuffer\.{name}, '):
            CheckpointLoader.load_checkpoint(path)
    torch.save(Attribute((HistoryBuffer, 'mean')), hub / 'a.pth')
    assert load_checkpoint(hub / 'a.pth') is HistoryBuffer.mean


def test_trusting_all_files_is_the_users_choice(harmful, monkeypatch):
    path, made = harmful
    monkeypatch.setenv(TRUST_ALL, '1')
    mmengine_load(nn.Linear(2, 1), str(path))
    assert made.exists()


@pytest.mark.parametrize('key', ['model', 'model_state_dict'])
def test_weights_under_keys_of_other_libraries_reach_the_network(tmp_path, key):
    """mmengine itself would load nothing; the other libraries' options are read, too."""
    trained, network = nn.Linear(2, 1), nn.Linear(2, 1)
    path = tmp_path / 'model_89.pth'
    torch.save({key: trained.state_dict(), 'args': Namespace(lr=0.1)}, path)
    assert load_checkpoint(path)['args'].lr == 0.1
    mmengine_load(network, str(path), strict=True)
    assert torch.equal(network.weight, trained.weight)


def test_files_of_other_formats_are_told(tmp_path):
    path = tmp_path / 'page.pth'
    for content in (b'<html>not found</html>', b'version https://git-lfs', b'\x80\x02', b'\n'):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=r'page\.pth .* is damaged or no checkpoint'):
            load_checkpoint(path)
    (tmp_path / 'model.safetensors').touch()
    with pytest.raises(ConfigError, match=r'no file of torch: tools/publish\.py --from timm'):
        load_checkpoint(tmp_path / 'model.safetensors')
    torch.save(torch.zeros(1), path)
    with pytest.raises(RuntimeError, match='no-such-device'):
        load_checkpoint(path, map_location='no-such-device')


@pytest.mark.parametrize('share', [0, 0.001, 0.3, 0.9, 0.9999, 1])
def test_part_of_a_checkpoint_is_damaged_and_one_of_a_flipped_bit(tmp_path, share):
    """torch reads the latter as if nothing were wrong."""
    path = tmp_path / 'epoch_1.pth'
    torch.save({'state_dict': {'weight': torch.ones(1000)}}, path)
    assert not is_damaged(path)
    data = bytearray(path.read_bytes())
    if share == 1:
        data[len(data) // 2] ^= 64
    path.write_bytes(data[: int(share * len(data))])
    assert is_damaged(path)
    with pytest.raises(ConfigError, match=r'epoch_1\.pth .* is damaged or no checkpoint'):
        load_checkpoint(path)


def test_files_of_an_old_torch_load(tmp_path):
    path = tmp_path / 'old.pth'
    torch.save({'weight': torch.ones(3)}, path, _use_new_zipfile_serialization=False)
    assert not is_damaged(path)
    assert load_checkpoint(path)['weight'].tolist() == [1, 1, 1]
    assert is_damaged(tmp_path / 'none.pth')


def test_weights_have_the_networks_own_names_and_versions():
    network = nn.Sequential(OrderedDict(backbone=nn.BatchNorm2d(2), neck=nn.Conv2d(2, 1, 1)))
    state = network.state_dict()
    wrapped = nn.ModuleDict({'module': network}).state_dict()
    for checkpoint in (
        state,
        {'state_dict': wrapped, 'meta': {}},
        {'model': state, 'epoch': 3},
        {'model_state_dict': wrapped},
    ):
        assert list(weights_of(checkpoint)) == list(state)
    assert weights_of({'state_dict': state})._metadata['backbone'] == {'version': 2}


@pytest.mark.parametrize('empty', [{'meta': {}}, {'state_dict': {}}, {'state_dict': None}, {}, [1]])
def test_missing_weights_are_told(empty):
    with pytest.raises(ConfigError, match=r'has no weights, expected a state_dict, got \['):
        weights_of(empty)
