"""Models, weights and schedules of configs, checked before a run."""

import copy
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset

from mmgradaug import SlimmableResNet
from mmgradaug.engine.checks import check_data, check_model, check_run, warn_of_schedule
from mmgradaug.engine.weight_check import check_pretrained, check_start, load_weights
from mmgradaug.errors import ConfigError
from tests.classification import tiny
from tests.networks import build, detector_config, mmdet_config, stock_config

LOOPS = ('train', 'val')


@pytest.fixture
def state():
    return build(detector_config()).state_dict()


@pytest.fixture
def saved(tmp_path):
    """Write a checkpoint: ``saved(weights)``."""

    def save(weights, **extra):
        torch.save({'state_dict': weights, **extra}, tmp_path / 'weights.pth')
        return str(tmp_path / 'weights.pth')

    return save


def fails(cfg, words, loops=('train',), check=check_run):
    with pytest.raises(ConfigError, match=words):
        check(cfg, loops)


def test_checkpoints_to_test_pass(cfg, saved, state, capsys):
    check_run(cfg, ('test',), saved(state))
    check_run(cfg, ('test',), 'https://localhost:1/of_a_model_zoo.pth')
    assert capsys.readouterr().err == ''


def test_the_first_process_checks(cfg, monkeypatch):
    cfg.train_dataloader.dataset.ann_file = 'none.json'
    cfg.launcher = 'pytorch'
    monkeypatch.setenv('RANK', '1')
    check_run(cfg, LOOPS)
    monkeypatch.setenv('RANK', '0')
    fails(cfg, r'none\.json')


def test_only_training_goes_without_validation(cfg, capsys):
    cfg.update(val_dataloader=None, val_cfg=None, val_evaluator=None)
    check_run(cfg, LOOPS)
    assert capsys.readouterr().err == ''
    fails(cfg, '^this config has no validation data: set val_datalo', ('val',), check_data)
    cfg.test_dataloader = None
    fails(cfg, '^this config has no test data: set test_dataloader', ('test',))


@pytest.mark.parametrize(('key', 'caching'), [
    ('train_dataloader.dataset.pipeline', dict(type='CachedMosaic', img_scale=(64, 64))),
    ('train_dataloader.dataset.pipeline',
     dict(type='RandomApply', transforms=[dict(type='mmdet.CachedMixUp')])),
    ('custom_hooks', dict(type='PipelineSwitchHook', switch_pipeline=[dict(type='CachedMixUp')])),
    ('model.data_preprocessor.batch_augments',
     dict(type='BatchSyncRandomResize', random_size_range=(64, 96))),
])  # fmt: skip
def test_what_keeps_state_is_warned_of(cfg, capsys, key, caching):
    cfg.merge_from_dict({key: [caching]})
    check_run(cfg, LOOPS)
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(r'warning: (Cached\w+|BatchSyncRandomResize) keeps what .* resumed', line)
    check_run(cfg, ('test',))
    assert capsys.readouterr().err == ''


@pytest.mark.parametrize(('batch', 'processes', 'counts', 'scale', 'words'), [
    (2, 8, 1, {}, ''), (2, 1, 8, {}, ''), (2, 1, 1, dict(enable=True), ''),
    (2, 1, 8, dict(enable=True), 'is 8 times too low for 16 images a step: leave it out'),
    (2, 1, 1, {}, r'a step has 2 images .* is for 16 \S+: add --auto-scale-lr, or set both'),
    (4, 8, 1, {}, r'a step has 32 images .* is for 16 \S+: add --auto-scale-lr, or set both'),
    (2, 1, 4, {}, r'a step has 8 images .* is for 16 \S+: set both'),
])  # fmt: skip
def test_batch_sizes_of_another_learning_rate_are_warned_of(
    cfg, capsys, monkeypatch, batch, processes, counts, scale, words
):
    cfg.train_dataloader.batch_size = batch
    cfg.optim_wrapper.accumulative_counts = counts
    cfg.update(auto_scale_lr=dict(base_batch_size=16) | scale, launcher='pytorch')
    monkeypatch.setenv('WORLD_SIZE', str(processes))
    check_run(cfg, LOOPS)
    err = capsys.readouterr().err
    assert re.fullmatch(f'warning: .*{words}.*\n', err) if words else not err


def test_numbers_of_classes(cfg):
    cfg.val_dataloader.dataset.metainfo.classes = ('circle', 'square')
    check_model(cfg, ('train',))
    words = r'bbox_head\.num_classes=3, .*but val_dataloader\.dataset has 2 classes \(circle, squ'
    fails(cfg, words, LOOPS, check_model)
    del cfg.val_dataloader.dataset['metainfo']
    fails(cfg, 'has 80 classes', LOOPS, check_model)
    for head in ('bbox_head', 'mask_head'):
        del cfg.model.roi_head[head]['num_classes']
    check_model(cfg, ('val',))  # 80 by default, too
    cfg.train_dataloader.dataset.return_classes = True  # texts, of any number
    check_model(cfg, ('train',))
    cfg.train_dataloader.dataset.pop('return_classes')
    cfg.model.roi_head.bbox_head.num_classes = 1
    fails(cfg, r'\(check_annotations=False if they are merged\)', ('train',), check_model)
    cfg.check_annotations = False  # a transform of the user's merges classes
    check_model(cfg, ('train',))


def test_data_sets_need_not_name_classes(tmp_path):
    path = tmp_path / 'list.json'
    path.write_text('{"metainfo": {}, "data_list": [{"img_path": "a.png"}]}')
    loader = dict(dataset=dict(type=BaseDataset, ann_file=str(path)))
    check_model(Config(dict(model=tiny.config(), train_dataloader=loader)), ('train',))


@pytest.mark.parametrize('name', ['rpn/rpn_r50_fpn', 'guided_anchoring/ga-rpn_r50_fpn'])
def test_an_rpn_alone_knows_objects(cfg, name):
    cfg.model = mmdet_config(f'{name}_1x_coco').model
    cfg.model.backbone.init_cfg = None
    check_run(cfg, ('train',))


def backbone(path, change=None, **options):
    """Write a backbone's weights, changed, and name them in one of other options."""
    options = dict(depth=18, base_channels=8) | options
    weights = SlimmableResNet(**options).state_dict()
    if change is not None:
        change(weights)
    torch.save(weights, path / 'w.pth')
    return options | dict(init_cfg=dict(type='Pretrained', checkpoint=str(path / 'w.pth')))


def check_backbone(options):
    model = torch.nn.Module()
    model.backbone = SlimmableResNet(**options)
    check_pretrained(model)


def test_pretrained_weights_that_fit(tmp_path, capsys):
    options = backbone(tmp_path, lambda w: w.update({'fc.weight': torch.zeros(9)}))
    check_backbone(options | dict(num_stages=2, strides=(1, 2), dilations=(1, 1), out_indices=(1,)))
    check_backbone(options | dict(init_cfg=[dict(type='Kaiming'), options['init_cfg']]))
    dcn = dict(dcn=dict(type='DCNv2'), stage_with_dcn=(False, True, True, True))
    check_backbone(backbone(tmp_path, depth=50) | dcn)  # its offsets start from zero
    old = backbone(tmp_path, lambda w: [w.pop(k) for k in list(w) if 'num_batches' in k])
    check_backbone(old)
    caffe = backbone(tmp_path, lambda w: w.update({'conv1.bias': torch.zeros(8)}))
    check_backbone(caffe)
    plugin = dict(cfg=dict(type='NonLocal2d'), position='after_conv2')
    stages = dict(stages=(False, True, True, False))
    check_backbone(backbone(tmp_path, depth=50) | dict(plugins=[plugin | stages]))
    assert 'warning: ' not in capsys.readouterr().err


@pytest.mark.parametrize('channels', [1, 4])
def test_weights_for_images_of_other_channels_are_loaded_but_for_the_first(
    tmp_path, channels, capsys
):
    check_backbone(backbone(tmp_path) | dict(in_channels=channels))
    assert capsys.readouterr().err.endswith('other images, and starts from random weights\n')
    check_backbone(backbone(tmp_path) | dict(in_channels=channels, frozen_stages=0))
    assert 'random weights, which frozen_stages keeps: set it to -1\n' in capsys.readouterr().err
    wider = backbone(tmp_path, base_channels=16) | dict(base_channels=8, in_channels=channels)
    with pytest.raises(ConfigError, match=r'of another shape \(conv1\.weight, '):
        check_backbone(wider)


def test_the_backbone_of_a_whole_model_needs_a_prefix(cfg, saved, state):
    init_cfg = dict(type='Pretrained', checkpoint=saved(state))
    cfg.model.backbone.init_cfg = init_cfg
    words = r"is of another network .* init_cfg, with prefix='backbone' where the file has a whole"
    fails(cfg, words)
    for prefix in ('backbone', 'backbone.'):
        cfg.model.backbone.init_cfg = init_cfg | dict(prefix=prefix)
        check_run(cfg, ('train',))
    cfg.model = stock_config(cfg.model)
    check_run(cfg, ('train',))


def test_other_networks_have_loaders_of_their_own(saved):
    """Of models without a backbone, such as SoftTeacher, and of a backbone that a user extended."""
    model = torch.nn.Module()
    model.teacher = torch.nn.Linear(1, 1)
    path = saved({'backbone.weight': torch.zeros(1, 1)})
    own = type('Own', (SlimmableResNet,), {'__module__': 'mine'})
    init_cfg = dict(type='Pretrained', checkpoint=path)
    for model.backbone in (None, own(18, base_channels=8, init_cfg=init_cfg)):
        check_pretrained(model)
        check_start(Config(dict(load_from=path)), model)


def test_missing_files_of_any_part_are_named(cfg, tmp_path):
    missing = dict(type='Pretrained', checkpoint=str(tmp_path / 'none.pth'))
    cfg.model.rpn_head.init_cfg = missing
    fails(cfg, r'none\.pth \(model\.rpn_head\.init_cfg\.checkpoint\)')
    cfg.model.init_cfg = missing
    fails(cfg, r'none\.pth \(model\.init_cfg\.checkpoint\)')


def test_what_cannot_be_downloaded_is_said(cfg, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path))  # where nothing was fetched before
    url = 'http://localhost:1/resnet18-none.pth'
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=url)
    fails(cfg, rf'^{url} \(model\.backbone\.init_cfg\.checkpoint\) cannot be downloaded \(')


def test_load_weights(saved, state):
    model = build(detector_config(), seed=5)
    load_weights(model, saved({f'module.{k}': v for k, v in state.items()}))
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    load_weights(model, saved(build(stock_config(detector_config())).state_dict()))
    load_weights(model, saved({**state, 'more.weight': torch.zeros(1)}))


def test_fine_tuning_may_change_the_heads(cfg, saved, state):
    heads = {k: torch.zeros(7) for k in state if k.startswith('roi_head.bbox_head.fc_')}
    cfg.load_from = saved(state | heads)
    check_run(cfg, ('train',))
    cfg.resume = True
    fails(cfg, rf'{cfg.load_from} is of another network .* 4 of another shape')
    cfg.resume = False
    for other in ({'backbone.layer4.7.conv1.weight': torch.zeros(1)}, {'neck.a': torch.zeros(1)}):
        kept = {} if 'neck.a' in other else state
        cfg.load_from = saved(kept | other)
        fails(cfg, rf'{cfg.load_from} \(load_from\) is of another network than SlimmableResNet')


def test_resuming_takes_what_there_is(cfg, saved, state, tmp_path):
    cfg.update(resume=True, work_dir=str(tmp_path))
    check_run(cfg, ('train',))  # nothing yet
    other = saved({k: v for k, v in state.items() if 'fpn' not in k})
    (tmp_path / 'last_checkpoint').write_text(other)
    fails(cfg, 'is of another network')
    Path(other).write_bytes(b'PK')
    check_run(cfg, ('train',))  # the run finds an earlier one
    cfg.load_from = other
    fails(cfg, 'is damaged')


def test_what_cannot_be_resumed_is_refused(cfg, saved, state, tmp_path):
    """mmengine would start schedules and optimizer anew."""
    cfg.update(resume=True, work_dir=str(tmp_path))
    cfg.param_scheduler = [dict(type='ConstantLR', factor=1.0, end=3, by_epoch=False)]
    whole = dict(meta={}, message_hub={}, optimizer={}, param_schedulers=[])
    cfg.load_from = saved(state, **whole)
    check_run(cfg, ('train',))
    Path(cfg.load_from).rename(tmp_path / 'epoch_1.pth')
    cfg.load_from = best = saved(state, meta={}, message_hub={})
    words = rf'{best} cannot be resumed: it lacks optimizer, param_schedulers, as best_\*\.pth do'
    fails(cfg, rf'{words}.*; resume from {tmp_path}/epoch_1\.pth, or set load_from')
    (tmp_path / 'epoch_1.pth').write_bytes(b'PK')
    (tmp_path / 'last_checkpoint').write_text(best)
    cfg.load_from = None
    fails(cfg, rf'{words}.*; no file beside it does, or set load_from')
    cfg.update(resume=False, load_from=best)
    check_run(cfg, ('train',))
    cfg.update(resume=True, param_scheduler=None)
    cfg.load_from = saved(state, meta={}, message_hub={}, optimizer={})
    check_run(cfg, ('train',))


@pytest.mark.parametrize(('options', 'keys'), [
    (dict(frozen_stages=1, norm_eval=True), 'frozen_stages=1 and norm_eval=True'),
    (dict(frozen_stages=0), 'frozen_stages=0'),
    (dict(norm_eval=True), 'norm_eval=True'),
    (dict(norm_eval=True, norm_cfg=dict(type='GN', num_groups=2)), ''),
    (dict(), ''),
])  # fmt: skip
def test_frozen_random_weights_are_warned_of(cfg, saved, state, capsys, options, keys):
    cfg.model.backbone.update(dict(frozen_stages=-1, norm_eval=False, init_cfg=None) | options)
    check_run(cfg, LOOPS)
    words = f'init_cfg names no pretrained weights, but with {keys} the backbone keeps'
    err = capsys.readouterr().err
    assert words in err if keys else err == ''
    if 'norm_cfg' not in options:
        cfg.load_from = saved(state)
        check_run(cfg, LOOPS)
        assert capsys.readouterr().err == ''


WARM_UP = dict(type='LinearLR', by_epoch=False, begin=0, end=500)
COSINE = dict(type='CosineAnnealingLR', T_max=115, begin=5, by_epoch=True)
STEPS = dict(type='MultiStepLR', milestones=[8, 11], by_epoch=True, end=12)


@pytest.mark.parametrize(('schedules', 'loop', 'words'), [
    ([WARM_UP, COSINE], dict(max_epochs=2), 'er.1 (CosineAnnealingLR) ends at epoch 120, but '
     'training at 2 (train_cfg.max_epochs)'),
    (STEPS, dict(max_epochs=6), 'param_scheduler.0 (MultiStepLR) ends at epoch 12'),
    (STEPS, dict(max_epochs=36), 'ends at epoch 12, but training at 36'),
    ([WARM_UP], dict(max_iters=100), 'ends at iter 500, but training at 100'),
    ([WARM_UP, COSINE], dict(max_epochs=120), None),
    ([WARM_UP, dict(type='MultiStepLR', milestones=[8, 11])], dict(max_epochs=36), None),
    ([dict(COSINE, T_max=None, end=2)], dict(max_epochs=2), None),  # mmengine: as long as it is
    ([WARM_UP], dict(max_epochs=1), None), ([WARM_UP, STEPS], dict(), None),
])  # fmt: skip
def test_schedules_of_another_length_are_warned_of(capsys, schedules, loop, words):
    warn_of_schedule(Config(dict(param_scheduler=copy.deepcopy(schedules), train_cfg=loop)))
    told = capsys.readouterr().err
    assert words in told if words else not told
