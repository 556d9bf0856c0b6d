"""The mistakes that users really make, a row each, in the order of docs/RELIABILITY.md.

Each ends with one line that names value and fix. Nothing is written or trained then; during a run,
the weights and the last checkpoint stay.
"""

import json
import os
import re
import shutil

import pytest
import torch

from mmgradaug.engine import train as engine
from tests.coco_runs import coco_config, each, edit_annotations
from tests.harmful import Command
from tests.networks import build, detector_config
from tools import test, train


class Run:
    """A run that trains a tiny detector for three iterations, to spoil."""

    def __init__(self, root, cfg):
        self.root, self.cfg, self.argv, self.main = root, cfg, [], train.main
        self.work_dir = root.parent / 'work_dir'

    def save(self, state, **extra):
        """Write a checkpoint; returns its path."""
        torch.save({'state_dict': state, **extra}, self.root / 'weights.pth')
        return str(self.root / 'weights.pth')

    def start(self):
        """Run the tool."""
        path = self.root.parent / 'config.json'
        path.write_text(json.dumps(self.cfg))
        self.main([str(path), *self.argv, '--work-dir', str(self.work_dir)])

    def last_line(self):
        """Run the tool, which has to end with an error of one line; returns that line."""
        with pytest.raises(SystemExit, match=r'^error: .{20,}$') as stopped:
            self.start()
        return str(stopped.value)

    def checkpoints(self):
        return sorted(path.name for path in self.work_dir.glob('*.pth'))


@pytest.fixture
def run(root, tmp_path):
    cfg = coco_config(root, detector_config(num_subnets=1, transform=None).to_dict())
    for key in ('val_cfg', 'val_dataloader', 'val_evaluator'):
        del cfg[key]
    cfg |= dict(experiment_name=tmp_path.name, data_help='run tools/make_it.py')
    return Run(root, cfg)


def test_without_mistakes_it_trains(run, capfd):
    run.start()
    assert run.checkpoints() == ['iter_1.pth', 'iter_2.pth', 'iter_3.pth']
    assert 'warning:' not in ''.join(capfd.readouterr())


def remove(name):
    def spoil(run):
        path = run.root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return spoil


def rewrite(change, split='train'):
    return lambda run: edit_annotations(run.root, change, split)


def option(value, *path):
    """Set an option of the config."""

    def spoil(run):
        node = run.cfg
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1]] = value

    return spoil


def gradaug(**options):
    return lambda run: run.cfg['model']['gradaug'].update(options)


def backbone(**options):
    return lambda run: run.cfg['model']['backbone'].update(options)


def rename(*names):
    return rewrite(lambda c: [k.update(name=names[i]) for i, k in enumerate(c['categories'])])


def evaluate_on_training_images(run):
    to_test(run, run.save(build(detector_config()).state_dict()))
    rewrite(each(lambda i: dict(file_name=f'other/{i["file_name"]}'), 'images'))(run)
    rewrite(each(lambda i: dict(file_name=f'v{i["id"]}.png'), 'images'), 'val')(run)
    run.cfg['test_evaluator']['ann_file'] = f'{run.root}/annotations/train.json'
    for index, path in enumerate(sorted((run.root / 'val').iterdir()), start=1):
        path.rename(path.with_name(f'v{index}.png'))


DATA = {
    'annotation file missing': (remove('annotations/train.json'),
     r'no data at \S+/annotations/train\.json \(train_dataloader\.dataset\.ann_file\).*: get '
     r'the data, or set data_root .*run tools/make_it\.py'),
    'image folder missing': (remove('train'),
     r'3 of 3 images .*\(train_dataloader\.dataset\).* the first is \S+/train/.* set .*data_pre'),
    'images missing': (remove('train/shapes_00001.png'),
     r'1 of 3 images of \S+/train\.json .* the first is \S+/train/shapes_00001\.png.*: get them'),
    'no COCO file': (lambda run: (run.root / 'annotations/train.json').write_text('<annotation/>'),
     r'train\.json is no annotation file .* expected a JSON .*: convert'),
    'a box missing': (rewrite(lambda c: c['annotations'][0].pop('bbox')),
     r"train\.json \(train_dataloader\.dataset\) has an entry without 'bbox': add it"),
    'other classes': (rename('disc', 'box', 'star'),
     r"the categories 'disc', 'box', 'star', none of them in metainfo\.classes \('circle', 's.*"
     r': set metainfo=dict\(classes=\.\.\.\) to the names of the file'),
    'a class misspelt': (rename('circle', 'Square', 'triangle'),
     r"has no category 'square' of metainfo\.classes, but 'Square'.*: write both alike"),
    'num_classes of a head': (option(80, 'model', 'roi_head', 'mask_head', 'num_classes'),
     r'bbox_head\.num_classes=3, model\.roi_head\.mask_head\.num_classes=80, but train_dataload'
     r'er\.dataset has 3 classes \(circle, square, triangle\): set num_classes to 3'),
    'no object left': (rewrite(each(category_id=99)),
     r'no training image has an object left \(\S+/train\.json .*: (\d+) of other categories '
     r'than metainfo\.classes of \1 annotations are not learnt\): label the objects'),
    'evaluator of other images': (evaluate_on_training_images,
     r'train\.json \(test_evaluator\) is of other images than \S+/val\.json .*: it lacks 2 of 2 '
     r'.* the first is v1\.png \(id 1\): set ann_file to the file of that data set'),
}  # fmt: skip


def pretrained(run, path):
    backbone(init_cfg=dict(type='Pretrained', checkpoint=path))(run)


def pretrained_deeper(run):
    config = detector_config()
    config.backbone.depth = 34
    pretrained(run, run.save(build(config).backbone.state_dict()))


def to_test(run, path):
    run.main, run.argv = test.main, [str(path)]


def checkpoint_damaged(run):
    path = run.save(build(detector_config()).state_dict())
    os.truncate(path, os.path.getsize(path) // 2)
    to_test(run, path)


def checkpoint_of_another_network(run):
    state = build(detector_config()).state_dict()
    del state['neck.fpn_convs.0.conv.bias']
    to_test(run, run.save(state))


WEIGHTS = {
    'pretrained file missing': (lambda run: pretrained(run, f'{run.root}/resnet.pth'),
     r'no pretrained weights at \S+/resnet\.pth \(model\.backbone\.init_cfg\.checkpoint\).*: pu'),
    'pretrained file of a deeper network': (pretrained_deeper,
     r'weights\.pth \(model\.backbone\.init_cfg\) is of another network than SlimmableResNet: '
     r'.* unexpected \(layer1\.2\.conv1\.weight, '),
    'checkpoint missing': (lambda run: to_test(run, run.root / 'epoch_1.pth'),
     r'no checkpoint at \S+/epoch_1\.pth'),
    'checkpoint damaged': (
     checkpoint_damaged, r'weights\.pth \(\d+ bytes\) is damaged .*: copy it again'),
    'checkpoint of another network': (checkpoint_of_another_network,
     r'weights\.pth is of another network than \w+: 1 missing \(neck\.fpn_convs\.0\.conv'
     r'\.bias\); use weights of this config'),
    'checkpoint holding code': (
     lambda run: to_test(run, run.save({}, extra=Command(run.root.parent / 'executed'))),
     r'weights\.pth holds posix\.system, expected tensors, .*Nothing of it was executed'),
}  # fmt: skip


def no_work_dir(run):
    (run.root / 'file').touch()
    run.work_dir = run.root / 'file/run'


OPTIONS = {
    'option of gradaug unknown': (
     gradaug(num_subnet=3), r"num_subnet\b.*(perhaps|did you mean) '?num_subnets"),
    'option of gradaug out of range': (gradaug(min_width=0), r'gradaug\.min_width.* got 0'),
    'target of distillation unknown': (gradaug(distill=dict(roi_cls='sotf')), "'sotf'"),
    'unknown detector': (option('MaskRCN', 'model', 'detector'), "'MaskRCN'.*MaskRCNN"),
    'layer that cannot be sliced': (
     backbone(norm_cfg=dict(type='IN')), r"norm_cfg=\{'type': 'IN'\} cannot be sliced, expected"),
    'scale out of range': (gradaug(transform=dict(type='RandomScale', scales=[0.01])), r'0\.01'),
    'wrapper without sub-networks': (
     option('MMDistributedDataParallel', 'model_wrapper_cfg', 'type'),
     r"model_wrapper_cfg\.type='MMDistributedDataParallel'.* without sub-networks, expected"),
    'SyncBN that changes statistics': (
     backbone(norm_cfg=dict(type='MMSyncBN')), r"'MMSyncBN'.* cannot be sliced.* expected .*BN"),
    'first key misspelt': (
     lambda run: run.argv.extend(['--cfg-options', 'trian_cfg.max_iters=1']),
     r"--cfg-options trian_cfg.max_iters: .*'trian_cfg'.*train_cfg"),
    'work dir that cannot be written': (no_work_dir, r'--work-dir \S+/file/run.* name another'),
}  # fmt: skip

BEFORE = DATA | WEIGHTS | OPTIONS


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob('*') if path.is_file()}


@pytest.mark.parametrize('mistake', BEFORE)
def test_before_the_first_iteration(run, mistake):
    spoil, words = BEFORE[mistake]
    spoil(run)
    before = files(run.root)
    assert re.search(words, run.last_line())
    assert files(run.root) == before
    assert files(run.root.parent).keys() == {run.root.parent / 'config.json', *before}


def test_a_schedule_of_another_length_is_warned_of(run, capfd):
    run.cfg['param_scheduler'] = dict(type='CosineAnnealingLR', T_max=2, by_epoch=False)
    run.start()
    (line,) = [line for line in capfd.readouterr().err.splitlines() if 'param_scheduler' in line]
    words = r'ends at iter 2, but training at 3 \(train_cfg\.max_iters\): change'
    assert re.search(f'^warning: param_scheduler.0 .* {words}', line)


def test_a_scale_below_the_stride_is_limited(run, capfd):
    gradaug(transform=dict(type='RandomScale', scales=[0.25]))(run)
    run.start()
    assert run.checkpoints() == ['iter_1.pth', 'iter_2.pth', 'iter_3.pth']
    (line,) = [line for line in capfd.readouterr().out.splitlines() if 'below the' in line]
    words = 'a batch of 64 x 64 pixels 16 x 16, below the stride of the network: it is enlarged to '
    assert f'{words}33 x 33' in line


def test_an_unreadable_image_is_named(run):
    path = run.root / 'train/shapes_00001.png'
    path.write_bytes(path.read_bytes()[:100])
    assert re.search(rf'cannot read .*{path} .*max_bad_images=N', run.last_line())
    assert run.checkpoints() == ['iter_1.pth']


def test_a_few_unreadable_images_are_replaced(run, capfd):
    path = run.root / 'train/shapes_00001.png'
    path.unlink()
    run.cfg['default_hooks']['bad_images'] = dict(type='BadImagesHook', max_bad_images=1)
    run.start()
    assert run.checkpoints() == ['iter_1.pth', 'iter_2.pth', 'iter_3.pth']
    assert re.search(rf'cannot read .*{path} .*bad image 1 of 1 allowed', capfd.readouterr().out)


def test_an_infinite_loss_ends_the_run_and_changes_nothing(run, monkeypatch):
    """The first step is too long for any weight."""
    runners, build_runner = [], engine.build_runner
    monkeypatch.setattr(
        engine, 'build_runner', lambda *args: runners.append(build_runner(*args)) or runners[0]
    )
    run.cfg['optim_wrapper']['optimizer']['lr'] = 1e30
    line = run.last_line()
    assert re.search(r'loss of pass 0 \(.*width 1\.0, scale 1\.0\) is (nan|inf)', line)
    assert re.search(r'Lower the learning rate.*shapes_\d+\.png', line)
    assert run.checkpoints() == ['iter_1.pth']
    kept = torch.load(run.work_dir / 'iter_1.pth', weights_only=False)['state_dict']
    for name, weight in runners[0].model.named_parameters():
        torch.testing.assert_close(weight.data, kept[name], rtol=0, atol=0, equal_nan=True)
