"""tools/pretrain_demo.py: its ends quickly, the whole of it as a slow test."""

import json
import shutil
from unittest import mock

import pytest
from PIL import Image

from mmgradaug.datasets import wheels
from mmgradaug.errors import ConfigError
from tests.classification.tiny import make_folders
from tools import pretrain_demo


def test_without_a_network_it_ends_with_one_message(tmp_path, monkeypatch):
    refuse = mock.Mock(side_effect=ConfigError('no network'))
    monkeypatch.setattr(wheels.WheelFiles, 'download', refuse)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r'^error: no network$'):
        pretrain_demo.main(['--work-dir', 'run'])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_whole_demo_once_and_again(tmp_path, monkeypatch, capsys):
    root = make_folders(tmp_path / 'images', per_class=2, size=28, classes='0123456789')
    monkeypatch.setattr('mmgradaug.datasets.make_digits', lambda: root)
    data = [f'{x}_dataloader.dataset.data_root={root}/' for x in ('train', 'val', 'test')]
    options = ['train_dataloader.dataset.labels_per_class=2', 'train_cfg.max_epochs=1', *data]
    words = ['--work-dir', str(tmp_path / 'run'), '--seeds', '1', '--cfg-options', *options]
    pretrain_demo.main(words)
    out = capsys.readouterr().out
    assert '2 runs, 2 to do' in out
    accuracies = {}
    for way, stem in (('baseline', 'digits'), ('GradAug', 'digits_gradaug')):
        (final,) = tmp_path.glob(f'run/resnet18_{stem}_seed0_*/final_and_best.json')
        accuracies[way] = json.loads(final.read_text())['final']['accuracy/top1']
    assert 'all 120 of its entries are in configs/mask_rcnn_r18_gradaug_nuclei.py' in out
    assert (tmp_path / 'run/report.html').read_text().count('<img') > 3
    with Image.open(tmp_path / 'run/activation_maps.png') as picture:
        assert picture.width > 1000
        assert picture.height > 400
    for way, value in accuracies.items():
        assert f'{way:12} {value:.2f}   ({value:.2f})' in out
    (folder,) = tmp_path.glob('run/resnet18_digits_seed0_*')
    shutil.rmtree(folder)
    pretrain_demo.main(words)
    assert '2 runs, 1 to do' in capsys.readouterr().out
