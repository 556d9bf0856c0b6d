"""Published files: their origin, files and links that last."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from mmgradaug.errors import ConfigError
from mmgradaug.publishing.source import Cut, Source
from mmgradaug.publishing.writing import link, record_of, validated_metrics
from mmgradaug.version import __version__

META = dict(experiment_name='mask_rcnn_mine_20261122_031205', epoch=2, iter=20)


def run_folder(tmp_path: Path) -> Path:
    """A checkpoint's place with the log of its run, and that of another one."""
    for started, ap in (('20261122_031205', 0.25), ('20261122_040000', 0.75)):
        folder = tmp_path / started / 'vis_data'
        folder.mkdir(parents=True)
        lines = [
            {'loss': 1.0, 'step': 2, 'epoch': 1},
            {'coco/bbox_mAP': 0.1, 'data_time': 0.5, 'step': 1},
            {'coco/bbox_mAP': ap, 'recall': 0.5, 'data_time': 0.5, 'time': 0.1, 'step': 2},
        ]
        (folder / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))
    return tmp_path / 'epoch_2.pth'


def test_metrics_are_of_the_same_run_and_epoch(tmp_path):
    log = run_folder(tmp_path).with_name('20261122_031205') / 'vis_data/scalars.json'
    # A metric need not have a prefix.
    assert validated_metrics(META, log) == {'coco/bbox_mAP': 0.25, 'recall': 0.5}
    assert validated_metrics(META | {'epoch': 1}, log) == {'coco/bbox_mAP': 0.1}
    assert validated_metrics(META | {'epoch': 3}, log) == {}
    assert validated_metrics(META, log.with_name('none')) == {}


def test_metrics_of_a_run_by_iteration(tmp_path):
    """mmengine gives its validations the step 0; the last line is of a run that was killed."""
    steps = [(1.0, 10), (1.0, 20), (None, 0), (1.0, 30), (1.0, 40), (None, 0)]
    lines = [{'loss': v, 'step': s} if v else {'bbox_mAP': s0 / 100, 'step': s}
             for s0, (v, s) in enumerate(steps)]  # fmt: skip
    log = tmp_path / 'scalars.json'
    log.write_text('\n'.join(map(json.dumps, lines)) + '\n{"loss": 1.')
    assert validated_metrics({'iter': 20}, log) == {'bbox_mAP': 0.02}
    assert validated_metrics({'iter': 40}, log) == {'bbox_mAP': 0.05}
    assert validated_metrics({'iter': 30}, log) == {}


def test_record(tmp_path):
    path = run_folder(tmp_path)
    assert record_of(Source(path, META, {}, None), Cut()) == {
        'config': 'mask_rcnn_mine',
        'width': 1.0,
        'recalibration_images': 0,
        'epoch': 2,
        'iter': 20,
        'metrics': {'coco/bbox_mAP': 0.25, 'recall': 0.5},
        'mmgradaug_version': __version__,
        'source': 'epoch_2.pth',
        'run': 'mask_rcnn_mine_20261122_031205',
    }


def test_the_full_networks_metrics_are_not_a_narrow_ones(tmp_path):
    source = Source(run_folder(tmp_path), META, {}, None)
    for cut in (Cut(0.9, 8), Cut(1.0, 8)):
        assert record_of(source, cut)['metrics'] == {}
    assert record_of(replace(source, validated=False), Cut())['metrics'] == {}


def test_a_file_without_a_run_is_named_by_its_place(tmp_path):
    source = Source(tmp_path / 'mine/weights.pth', {}, {}, None)
    assert record_of(source, Cut())['config'] == 'mine_weights'


def test_a_link_in_a_linked_folder_leads_to_the_file(tmp_path):
    """As where ``pretrained`` is a folder of a larger disk."""
    for folder in ('disk/pretrained', 'project/work_dirs'):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / 'project/pretrained').symlink_to(tmp_path / 'disk/pretrained')
    path = tmp_path / 'project/work_dirs/a.pth'
    path.write_bytes(b'weights')
    name = tmp_path / 'project/pretrained/b.pth'
    for _ in range(2):
        link(path, name)
        assert name.read_bytes() == b'weights'


def test_only_a_link_is_ever_replaced(tmp_path):
    file, name = tmp_path / 'notes.txt', tmp_path / 'pretrained/a.pth'
    file.write_text('mine')
    for there in (file, tmp_path):
        with pytest.raises(ConfigError, match=f'--link {there} exists and is no link'):
            link(tmp_path / 'b.pth', there)
    assert file.read_text() == 'mine'
    link(tmp_path / 'b.pth', name)
    assert os.readlink(name) == '../b.pth'
    link(file, name)
    assert name.read_text() == 'mine'
    assert [path.name for path in name.parent.iterdir()] == ['a.pth']
