"""tools/train.py and tools/test.py end to end, on a few generated images."""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmgradaug.engine import mmdet_tools
from mmgradaug.engine.mmdet_tools import run_tool
from tests.harmful import Command
from tests.messages import one_line
from tests.shapes_run import shapes_options

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/mask_rcnn_r18_gradaug_shapes.py'
SMALL = [
    'model.backbone.base_channels=8',
    'model.neck.in_channels=8,16,32,64',
    'train_dataloader.dataset.times=1',
    'train_cfg.max_epochs=2',
    'train_cfg.val_interval=2',
    'default_hooks.checkpoint.interval=1',
    'default_hooks.checkpoint.max_keep_ckpts=-1',
    'default_hooks.logger.interval=1',
]
TINY = ['model.data_preprocessor.pad_size_divisor=1', 'train_dataloader.batch_size=1']


def run(script, *args, options=(), expect=0):
    """Run a tool as a user does; returns what it printed."""
    command = [sys.executable, ROOT / 'tools' / script, *args]
    if options:
        command += ['--cfg-options', *options]
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == expect, result.stdout[-2000:] + result.stderr[-3000:]
    return result.stdout + result.stderr


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return [*SMALL, *shapes_options(tmp_path_factory.mktemp('shapes'))]


@pytest.fixture(scope='module')
def trained(data, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('run')
    run('train.py', CONFIG, '--work-dir', work_dir, options=[*data, 'my_note=1'])
    return work_dir


def logged(work_dir, key):
    """Values of a key by iteration."""
    (path,) = work_dir.glob('*/vis_data/scalars.json')
    lines = map(json.loads, path.read_text().splitlines())
    return {line['iter']: line[key] for line in lines if key in line}


def test_a_resumed_run_draws_the_same_sub_networks(trained, data, tmp_path):
    checkpoint = trained / 'epoch_1.pth'
    run('train.py', CONFIG, '--work-dir', tmp_path, '--resume', checkpoint, options=data)
    for key in ('subnet2/width', 'subnet1/scale', 'subnet2/scale'):
        uninterrupted = logged(trained, key)
        assert sorted(uninterrupted) == [1, 2, 3, 4]
        assert logged(tmp_path, key) == {i: uninterrupted[i] for i in (3, 4)}
    assert (tmp_path / 'epoch_2.pth').exists()


def test_warnings_of_the_checks_come_again_when_training_starts(trained):
    (path,) = trained.glob('*/*.log')
    lines = path.read_text().splitlines()
    (told,) = [i for i, line in enumerate(lines) if "'my_note' is a key that neither" in line]
    assert 'WARNING' in lines[told]
    assert not any('Initialized by' in line for line in lines[told:])
    assert any('Epoch(train)' in line for line in lines[told:])


def test_an_image_that_cannot_be_read_stops_testing_with_one_line(trained, data, tmp_path):
    root = shutil.copytree(
        data[-1].split('=')[1].removesuffix('/annotations/val.json'), tmp_path / 'd'
    )
    image = sorted((root / 'val').iterdir())[0]
    image.write_bytes(image.read_bytes()[:99])
    options = [*data, f'test_dataloader.dataset.data_root={root}/']
    line = [str(CONFIG), str(trained / 'epoch_2.pth'), '--work-dir', str(tmp_path / 'w')]
    with pytest.raises(SystemExit) as stopped:
        run_tool('test', [*line, '--cfg-options', *options], ('test',))
    assert str(stopped.value).startswith(f'error: cannot read the image {image} (')
    assert '\n' not in str(stopped.value)


def test_testing_writes_results_and_pictures(trained, data, tmp_path):
    out = tmp_path / 'results.pkl'
    shown = ['--show-dir', 'shown', '--out', out]
    options = [*data, 'model.test_cfg.rcnn.score_thr=0.0']
    run('test.py', CONFIG, trained / 'epoch_2.pth', '--work-dir', tmp_path, *shown, options=options)
    assert out.stat().st_size > 0
    assert len(list(tmp_path.glob('*/shown/*.png'))) == 2


def test_testing_with_flips(trained, data, tmp_path):
    """mmdet averages flipped predictions of boxes, not of masks."""
    boxes = [
        'model.detector=FasterRCNN',
        'model.roi_head.mask_head=None',
        'test_evaluator.metric=bbox',
    ]
    checkpoint = trained / 'epoch_2.pth'
    out = run(
        'test.py', CONFIG, checkpoint, '--work-dir', tmp_path, '--tta', options=[*data, *boxes]
    )
    assert 'Evaluate annotation type *bbox*' in out


def test_checkpoint_that_would_execute_a_command_stops_the_run(trained, data, tmp_path):
    made, harmful = tmp_path / 'made', tmp_path / 'harmful.pth'
    checkpoint = torch.load(trained / 'epoch_2.pth', weights_only=False)
    torch.save({**checkpoint, 'extra': Command(made)}, harmful)
    out = run('test.py', CONFIG, harmful, '--work-dir', tmp_path, options=data, expect=1)
    assert f'{harmful} holds posix.system, expected tensors, plain data' in out
    assert 'Traceback' not in out
    assert not made.exists()


@pytest.mark.parametrize('name', ['train', 'test'])
def test_both_tools_load_as_data_only(monkeypatch, tmp_path, name):
    made, harmful, script = (tmp_path / n for n in ('made', 'harmful.pth', 'tool.py'))
    options = dict(config=str(CONFIG), cfg_options=None, launcher='none')
    options['work_dir'] = str(tmp_path / 'run')
    options |= dict(checkpoint=str(harmful)) if name == 'test' else dict(resume=None)
    torch.save(dict(state_dict={}, extra=Command(made)), harmful)
    script.write_text(
        'import sys\nfrom mmengine.runner import CheckpointLoader\n'
        'CheckpointLoader.load_checkpoint(sys.argv[2])\n'
    )
    monkeypatch.setattr(mmdet_tools, '_find_tool', lambda name: script)
    monkeypatch.setattr(mmdet_tools, '_parsed', lambda *_: argparse.Namespace(**options))
    monkeypatch.setattr(mmdet_tools, 'check_run', lambda *_: None)
    with pytest.raises(SystemExit, match=r'error: .*harmful\.pth holds posix\.system'):
        run_tool(name, [str(CONFIG), str(harmful)], ())
    assert not made.exists()


def test_missing_data_stops_at_once():
    out = run(
        'train.py',
        CONFIG,
        options=['train_dataloader.dataset.dataset.data_root=/no/data'],
        expect=1,
    )
    assert 'error: no data at /no/data/annotations/train.json' in out
    assert 'tools/make_shapes.py' in out
    assert 'Traceback' not in out


def test_missing_pretrained_weights_stop_at_once(data, tmp_path):
    config = tmp_path / 'config.py'
    init_cfg = dict(_delete_=True, type='Pretrained', checkpoint='/no/weights.pth')
    backbone = dict(init_cfg=init_cfg)
    config.write_text(f"_base_ = '{CONFIG}'\nmodel = dict(backbone={backbone})\n")
    out = run('train.py', config, options=data, expect=1)
    assert 'error: no pretrained weights at /no/weights.pth' in out
    assert 'Traceback' not in out


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (['model.gradaug.min_width=0'], 'min_width'),
        (['model.detector=RetinaNet'], "error: detector='RetinaNet' does not take"),
        (['model.roi_head.mask_head.num_classes=2'], 'model.roi_head.mask_head.num_classes=2'),
        (['default_hooks.bad_images.max_bad=3'], 'error: default_hooks.bad_images: '),
        (['train_cfg.val_intervall=3'], 'dynamic_intervals (perhaps val_interval)'),
        (
            ['optim_wrapper.optimizer.lrr=3'],
            'optim_wrapper.optimizer: SGD.__init__() got an',
        ),
        (['optim_wrapper.optimizer.type=SGDD'], "type='SGDD' is not a registered optimizer"),
        (
            ['train_dataloader.dataset.dataset.pipeline.2.scale=(8,8)', *TINY],
            'error: 1 images of 8 x 8 pixels (height x width) are too small for the network',
        ),
    ],
)
def test_wrong_options_stop_with_one_line(data, tmp_path, options, words):
    line = [str(CONFIG), '--work-dir', str(tmp_path), '--cfg-options', *data, *options]
    with pytest.raises(SystemExit) as stopped:
        run_tool('train', line, ('train', 'val'))
    assert words in one_line(stopped.value)


def test_checkpoints_are_checked_before_anything_runs(data, tmp_path):
    broken = tmp_path / 'broken.pth'
    broken.write_bytes(b'PK')
    options = ['--cfg-options', *data]
    with pytest.raises(SystemExit, match=r'error: CHECKPOINT: no checkpoint at .*none\.pth'):
        run_tool('test', [str(CONFIG), str(tmp_path / 'none.pth'), *options], ('test',))
    with pytest.raises(SystemExit, match=r'--resume: .*broken\.pth \(2 bytes\) is damaged'):
        run_tool('train', [str(CONFIG), '--resume', str(broken), *options], ('train', 'val'))
    with pytest.raises(SystemExit, match=r'load_from: .*broken\.pth'):
        run_tool('train', [str(CONFIG), *options, f'load_from={broken}'], ('train', 'val'))


def test_the_value_of_an_option_is_not_taken_for_the_config(tmp_path):
    line = ['--show-dir', 'shown', str(tmp_path / 'none.py'), 'checkpoint.pth']
    with pytest.raises(SystemExit, match=r'no config file at .*none\.py'):
        run_tool('test', line, ('test',))


def test_help_is_the_tools_own(capsys):
    with pytest.raises(SystemExit) as stopped:
        run_tool('train', ['--help'], ('train',))
    assert stopped.value.code == 0
    assert '--auto-scale-lr' in capsys.readouterr().out


def test_missing_config_is_named(tmp_path):
    with pytest.raises(SystemExit, match=r'no config file at .*none\.py'):
        run_tool('train', [str(tmp_path / 'none.py')], ('train',))


def test_an_option_without_a_value_is_named():
    with pytest.raises(SystemExit, match=r'error: cannot read the command line .*without spaces'):
        run_tool('train', [str(CONFIG), '--cfg-options', 'nokeyvalue'], ())
