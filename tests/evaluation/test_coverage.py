"""The swap and the trial of other people's configs."""

import copy
import os
import re
from functools import partial

import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config

from mmgradaug.detection.distillation import roi_stage
from mmgradaug.evaluation import family
from mmgradaug.evaluation.coverage import (
    ShippedConfig,
    Swap,
    plainest_first,
    resnet_keys,
    swapped_model,
    try_swap,
)
from mmgradaug.evaluation.family import Trial, try_family, try_training
from mmgradaug.evaluation.generated import generated_batch
from tests.networks import build, detector_config, stock_config
from tools import coverage


def shipped(name):
    return ShippedConfig(f'{name}.py', get_config(f'mmdet::{name}.py').model)


@pytest.mark.parametrize(
    'name',
    [
        'retinanet/retinanet_r50_fpn_1x_coco',
        'gn/mask-rcnn_r50_fpn_gn-all_2x_coco',
        'empirical_attention/faster-rcnn_r50-attn1111-dcn_fpn_1x_coco',
        'dcnv2/faster-rcnn_r50-mdconv-group4-c3-c5_fpn_1x_coco',
        'gcnet/cascade-mask-rcnn_x101-32x4d-syncbn-dconv-c3-c5-r4-gcb-c3-c5_fpn_1x_coco',
    ],
)
def test_a_shipped_config_swaps(name):
    swap = try_swap(shipped(name))
    assert (swap.swapped, swap.reason) == (True, '')


def test_what_cannot_be_sliced_has_its_reason():
    grouped = dict(dcn=dict(type='DCN', groups=2), stage_with_dcn=(False, False, False, True))
    swap = try_swap(tiny(backbone=grouped))
    assert not swap.swapped
    assert swap.reason.startswith('ValueError: model.backbone.dcn.groups=2 cannot be sliced')


def test_backbones_are_found_and_swapped_at_any_depth():
    model = Config(
        dict(model=dict(backbone=dict(type='Swin'), detector=dict(backbone=dict(type='ResNetV1d'))))
    ).model
    assert resnet_keys(model) == ['detector.backbone']
    assert resnet_keys(dict(backbone=dict(type='mmdet.ResNet'))) == ['backbone']
    assert resnet_keys(dict(backbone=dict(type='mmpretrain.ResNet'))) == []
    swapped = swapped_model(model)
    assert swapped.detector.backbone.type == 'SlimmableResNetV1d'
    assert (model.detector.backbone.type, swapped.backbone.type) == ('ResNetV1d', 'Swin')


def test_the_plainest_config_of_a_family_is_tried_first():
    def config(name, depth, kind='ResNet'):
        backbone = dict(type=kind, depth=depth)
        return ShippedConfig(name, Config(dict(model=dict(backbone=backbone))).model)

    plain = [config('a/r50.py', 50), config('a/r50_long.py', 50)]
    others = [config('a/x.py', 50, 'ResNeXt'), config('a/r101.py', 101)]
    assert plainest_first([*others[::-1], *plain[::-1]]) == [*plain, *others]


def test_swaps_are_counted_by_backbone():
    swaps = [Swap('a', 'ResNet', True), Swap('b', 'ResNeXt', False), Swap('c', 'ResNet', True)]
    assert coverage._swap_counts(swaps) == (
        '2 of 3 configs (2 of 2 with a ResNet, 0 of 1 with a ResNeXt)'
    )
    page = coverage.report(swaps[:1], [], [ShippedConfig('d', None, 'why')], 6)
    assert '## Configs that do not swap\n\nNone.\n\n## Configs that mmdet' in page
    assert page.endswith('| config | reason |\n|---|---|\n| `d` | why |\n')


def tiny(name='mine/tiny.py', **parts):
    """A tiny Mask R-CNN of mmdet's, with changes to its parts."""
    model = stock_config(detector_config())
    for part, changes in parts.items():
        model[part].update(changes)
    return ShippedConfig(name, model)


def test_trial_says_what_sub_networks_learn_from():
    """Also where BatchNorm is synchronised, which mmengine's runner undoes in one process."""
    trial = try_training(tiny(neck=dict(norm_cfg=dict(type='SyncBN'))))
    assert trial == Trial('mine', 'mine/tiny.py', 'MaskRCNN', 'distilled')


@pytest.fixture
def one_size(monkeypatch):
    """No larger images after a failure."""
    monkeypatch.setattr(family, 'SIZES', family.SIZES[:1])


def test_a_config_that_mmdet_trains_stands_for_its_family(one_size):
    broken = tiny('mine/broken.py', neck=dict(in_channels=[1, 2, 3, 4]))
    trial = try_family([broken])
    assert trial.targets == ''
    assert trial.reason.startswith('mmdet without mmgradaug fails here too: RuntimeError: ')
    assert try_family([broken, tiny()]).config == 'mine/tiny.py'


def test_a_failure_of_ours_is_not_passed_over(monkeypatch, one_size):
    """A parameter without gradient in a sub-network's pass would stop several processes."""
    monkeypatch.setattr(roi_stage, 'untrained', lambda *outputs: torch.zeros(()))
    monkeypatch.setitem(family.GRADAUG, 'distill', dict(roi_mask='off'))
    trial = try_family([tiny(), tiny('mine/other.py')])
    assert (trial.config, trial.targets) == ('mine/tiny.py', '')
    expected = r'AssertionError: sub-network 1 gives no gradient to \d+ .* roi_head\.mask_head\.'
    assert re.match(expected, trial.reason)


def test_what_gradaug_is_not_made_for_is_said():
    for name, reason in (('QDTrack', 'it tracks objects'), ('SoftTeacher', 'it wraps a detector')):
        trial = try_training(ShippedConfig('a/b.py', Config(dict(model=dict(type=name))).model))
        assert trial.reason.startswith(reason)
        assert trial.targets == ''


def test_trials_need_little_memory():
    """Mask2Former pads its batches to 1024 x 1024 pixels, of any images: 16 GB."""
    model = shipped('mask2former/mask2former_r50_8xb2-lsj-50e_coco').model
    reduced = family._reduced(copy.deepcopy(model))
    (pad,) = reduced.data_preprocessor.batch_augments
    assert (model.data_preprocessor.batch_augments[0].size, pad.size) == (
        (1024, 1024),
        family.CANVAS,
    )
    assert (model.train_cfg.num_points, reduced.train_cfg.num_points) == (12544, 1024)


def test_a_config_that_asks_for_too_much_or_dies_fails_alone():
    greedy = tiny('mine/greedy.py', neck=dict(out_channels=2**14))  # a convolution of 10 GB
    trial = coverage._try_apart(partial(coverage._set_up_worker, 6), [greedy])
    assert trial.config == 'mine/greedy.py'
    assert 'allocate' in trial.reason
    trial = coverage._try_apart(partial(os._exit, 1), [tiny()])
    assert (trial.config, trial.targets) == ('mine/tiny.py', '')
    assert 'terminated abruptly' in trial.reason


def test_generated_labels_are_of_all_the_detectors_classes():
    model = build(detector_config())
    for head in (model.roi_head.bbox_head, model.roi_head.mask_head):
        head.num_classes = 1203
    samples = generated_batch(model, (64, 96))['data_samples']
    assert [s.gt_instances.labels.tolist() for s in samples] == [[0, 601, 1202], [601, 1202, 0]]
    assert samples[0].gt_sem_seg.sem_seg.unique()[[0, -1]].tolist() == [0, 1202]
