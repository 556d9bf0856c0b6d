"""tools/pretrain.py end to end, on a few generated images."""

import json
from types import SimpleNamespace

import pytest
from mmengine.logging import MessageHub

from mmgradaug.engine.hooks.final_and_best import FinalAndBestHook
from tests.classification.tiny import make_folders
from tests.engine.killing import checkpoint, differences
from tests.launching import logged
from tests.networks import ROOT
from tools.pretrain import main

CONFIG = f'{ROOT}/configs/classification/resnet18_digits_gradaug.py'
SMALL = [
    'model.backbone.base_channels=8',
    'model.num_classes=3',
    'model.gradaug.num_subnets=2',
    'train_dataloader.batch_size=4',
    'train_dataloader.dataset.labels_per_class=None',
    'train_cfg.max_epochs=2',
    'train_cfg.val_interval=1',
    'default_hooks.checkpoint.interval=1',
    'default_hooks.checkpoint.max_keep_ckpts=-1',
    'default_hooks.logger.interval=1',
]
EMA = [
    'default_hooks.ema.type=EMAHook',
    'default_hooks.ema.momentum=0.01',
    'default_hooks.ema.update_buffers=True',
    'optim_wrapper.accumulative_counts=3',
    'optim_wrapper.clip_grad.max_norm=5.0',
]


@pytest.fixture(scope='module')
def options(tmp_path_factory):
    """Small networks on 12 images."""
    root = make_folders(tmp_path_factory.mktemp('images'))
    loaders = [
        f'{loader}_dataloader.dataset.data_root={root}/' for loader in ('train', 'val', 'test')
    ]
    return [*SMALL, *loaders]


def pretrain(work_dir, options, *args, config=CONFIG):
    main([config, '--work-dir', str(work_dir), *args, '--cfg-options', *options])


@pytest.fixture(scope='module')
def trained(options, tmp_path_factory):
    """A run of two epochs, with averaged weights, accumulation and clipping."""
    work_dir = tmp_path_factory.mktemp('run')
    pretrain(work_dir, [*options, *EMA])
    return work_dir


def test_a_run_logs_its_passes_and_tells_final_from_best(trained):
    assert len(logged(trained, 'subnet2/loss_cls_soft')) == 6
    assert list(logged(trained, 'subnet1/width').values()) == [0.8] * 6
    accuracies = list(logged(trained, 'accuracy/top1').values())
    assert len(accuracies) == 2
    found = json.loads((trained / 'final_and_best.json').read_text())
    best = accuracies.index(max(accuracies))
    assert found == {
        'unit': 'epoch',
        'final': {'step': 2, 'accuracy/top1': accuracies[1]},
        'best': {'step': best + 1, 'accuracy/top1': accuracies[best]},
    }
    assert (trained / f'best_accuracy_top1_epoch_{best + 1}.pth').is_file()


def test_epochs_that_find_nothing_are_not_the_best(tmp_path):
    """COCO's evaluator gives no metric of them."""
    hook, name = FinalAndBestHook('coco/bbox_mAP'), 'coco/bbox_mAP'
    runner = SimpleNamespace(train_loop=None, work_dir=tmp_path, message_hub=MessageHub('x'))
    for runner.iter, metrics in enumerate(({}, {name: 0.25}, {})):
        hook.after_val_epoch(runner, metrics)
    found = json.loads((tmp_path / 'final_and_best.json').read_text())
    assert found == {'unit': 'iteration', 'final': {'step': 2}, 'best': {'step': 1, name: 0.25}}


def test_a_resumed_run_is_bitwise_the_one_that_was_not_stopped(trained, options, tmp_path):
    pretrain(tmp_path, [*options, *EMA], '--resume', str(trained / 'epoch_1.pth'))
    one, other = (checkpoint(folder, 'epoch_2.pth') for folder in (trained, tmp_path))
    assert len(one) == 4 and differences(one, other) == []
    texts = [(d / 'final_and_best.json').read_text() for d in (trained, tmp_path)]
    assert texts[0] == texts[1]


def test_evaluation_gives_the_accuracy_of_training(trained, options, tmp_path):
    pretrain(tmp_path, options, '--eval', str(trained / 'epoch_2.pth'))
    (path,) = tmp_path.glob('*/*.json')
    found = json.loads((trained / 'final_and_best.json').read_text())
    assert json.loads(path.read_text())['accuracy/top1'] == found['final']['accuracy/top1']


@pytest.mark.parametrize(('change', 'words'), [
    ('train_dataloader.dataset.data_root=/no/digits', r'no data at /no/digits .*make_digits'),
    ('model.num_classes=4',
     r'model\.num_classes=4, but train_dataloader\.dataset has 3 classes \(a, b, c\)'),
    ('val_dataloader.dataset.metainfo.classes=[a,c,b]',
     r"val_dataloader\.dataset has the class 'c' where train_dataloader\.dataset has 'b'"),
    ('train_dataloader.batch_size=99', 'train_dataloader gives no batch to a process'),
    ('model_wrapper_cfg.type=MMDistributedDataParallel', 'would train without sub-networks'),
])  # fmt: skip
def test_what_is_wrong_is_one_line(options, tmp_path, change, words):
    with pytest.raises(SystemExit, match=f'^error: .*{words}.*$'):
        pretrain(tmp_path, [*options, change])


def test_the_learning_rate_follows_the_batch_if_asked(options, tmp_path):
    no_validation = [f'val_{part}=None' for part in ('cfg', 'dataloader', 'evaluator')]
    scaling = ['auto_scale_lr.base_batch_size=8', 'train_cfg.max_epochs=1', *no_validation]
    pretrain(tmp_path, [*options, *scaling], '--auto-scale-lr')
    assert logged(tmp_path, 'lr')[1] == pytest.approx(0.05 * 4 / 8)
