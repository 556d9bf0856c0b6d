"""The swap and the trial of other people's configs."""

import pytest
from mmengine.config import Config
from mmengine.hub import get_config

from mmgradaug.evaluation.coverage import (
    ShippedConfig,
    plainest_first,
    resnet_keys,
    swapped_model,
    try_swap,
)
from mmgradaug.evaluation.family import try_training
from tests.networks import detector_config, stock_config


def shipped(name):
    return ShippedConfig(f'{name}.py', get_config(f'mmdet::{name}.py').model)


def test_a_shipped_config_swaps():
    swap = try_swap(shipped('retinanet/retinanet_r50_fpn_1x_coco'))
    assert (swap.swapped, swap.reason) == (True, '')


@pytest.mark.parametrize(
    ('name', 'reason'),
    [
        ('dcn/faster-rcnn_r50-dconv-c3-c5_fpn_1x_coco', 'dcn='),
        ('gn/mask-rcnn_r50_fpn_gn-all_2x_coco', "norm_cfg={'type': 'GN'"),
    ],
)
def test_what_cannot_be_sliced_has_its_reason(name, reason):
    swap = try_swap(shipped(name))
    assert not swap.swapped
    assert swap.reason.startswith(f'ValueError: model.backbone.{reason}')


def test_backbones_are_found_and_swapped_at_any_depth():
    model = Config(
        dict(model=dict(backbone=dict(type='Swin'), detector=dict(backbone=dict(type='ResNetV1d'))))
    ).model
    assert resnet_keys(model) == ['detector.backbone']
    swapped = swapped_model(model)
    assert swapped.detector.backbone.type == 'SlimmableResNetV1d'
    assert (model.detector.backbone.type, swapped.backbone.type) == ('ResNetV1d', 'Swin')


def test_the_plainest_config_of_a_family_is_tried_first():
    def config(name, depth):
        backbone = dict(type='ResNet', depth=depth)
        return ShippedConfig(name, Config(dict(model=dict(backbone=backbone))).model)

    configs = [config('a/r101.py', 101), config('a/r50_long.py', 50), config('a/r50.py', 50)]
    assert [c.name for c in plainest_first(configs)] == ['a/r50.py', 'a/r50_long.py', 'a/r101.py']


def test_trial_says_what_sub_networks_learn_from():
    trial = try_training(ShippedConfig('mine/tiny.py', stock_config(detector_config())))
    assert (trial.family, trial.detector, trial.targets) == ('mine', 'MaskRCNN', 'distilled')
    broken = stock_config(detector_config())
    broken.neck.in_channels = [1, 2, 3, 4]
    trial = try_training(ShippedConfig('mine/broken.py', broken))
    assert trial.targets == ''
    assert trial.reason.startswith('RuntimeError: ')
