"""A GradAug config becomes the config it was made from."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS

from mmgradaug.classification import Classifier
from mmgradaug.errors import ConfigError
from mmgradaug.publishing.narrow import build_stock
from mmgradaug.publishing.stock_config import stock_backbone, stock_config

CONFIGS = Path(__file__).parents[2] / 'configs'
GRADAUG = sorted(p for p in CONFIGS.glob('*_gradaug_*.py'))
MASK_RCNN = dict(type='GradAugDetector', detector='MaskRCNN', gradaug=dict(num_subnets=2))


def config(**extra):
    values = dict(
        custom_imports=dict(imports=['mmgradaug'], allow_failed_imports=False),
        model=dict(MASK_RCNN, backbone=dict(type='SlimmableResNet', depth=18)),
    )
    return Config(values | extra)


@pytest.mark.parametrize('path', GRADAUG, ids=lambda path: path.stem)
def test_model_and_recipe_are_those_of_the_stock_config(path):
    cfg = Config.fromfile(path)
    stock = stock_config(cfg)
    assert 'gradaug' not in str(stock.to_dict()).lower()
    changed = {'model', 'custom_imports', 'gradaug', 'data_help', 'load_from', 'resume'}
    kept = {k: v for k, v in cfg.to_dict().items() if k not in changed}
    assert {k: v for k, v in stock.to_dict().items() if k != 'model'} == kept
    plain = CONFIGS / path.name.replace('gradaug_', '')
    if plain.is_file():
        expected = Config.fromfile(plain).model.to_dict()
        expected['backbone']['init_cfg'] = None
        assert stock.model.to_dict() == expected


def test_a_users_own_extension_is_named(monkeypatch):
    """It may do anything, and needs this package."""
    own = type('Halved', (Classifier,), {'__module__': 'mine'})
    monkeypatch.setitem(MODELS._module_dict, 'Halved', own)
    backbone = dict(type='ResNet', depth=18)
    cfg = Config(dict(model=dict(type='Halved', backbone=backbone, num_classes=2)))
    with pytest.raises(ConfigError, match='the network is a Halved, which needs mmgradaug'):
        build_stock(stock_config(cfg))


PRETRAINED = dict(type='Pretrained', checkpoint='mine.pth')
KAIMING = dict(type='Kaiming', layer='Conv2d')
SHAKEN = dict(depth=20, alpha=9, regulariser=dict(type='ShakeDrop'))
PARTS = {  # of a model, and what they become
    'slimmable backbone': (
        dict(type='SlimmableResNet', depth=18, width_divisor=8, regulariser=dict(type='DropPath')),
        dict(type='ResNet', depth=18)),
    'by its path': (
        dict(type='mmgradaug.backbones.resnet.SlimmableResNetV1d'), dict(type='ResNetV1d')),
    'regulariser of our own network': (
        dict(type='SlimmablePyramidNet', width_divisor=8, **SHAKEN),
        dict(type='PyramidNet', **SHAKEN)),
    'detector in a detector': (
        dict(type='SoftTeacher', detector=MASK_RCNN),
        dict(type='SoftTeacher', detector=dict(type='MaskRCNN'))),
    'pretrained weights': (
        dict(type='SlimmableResNet', init_cfg=PRETRAINED), dict(type='ResNet', init_cfg=None)),
    'other initialisation': (dict(init_cfg=KAIMING), dict(init_cfg=KAIMING)),
    'several': (dict(init_cfg=[KAIMING, PRETRAINED]), dict(init_cfg=[KAIMING])),
    'older key': (dict(pretrained='mine.pth'), dict(pretrained=None)),
    "older key of timm's": (dict(pretrained=True), dict(pretrained=False)),
    'function by its path': (dict(type='mmcv.ops.nms'), dict(type='nms')),
    'class by its path': (
        dict(type='mmdet.models.losses.smooth_l1_loss.L1Loss'), dict(type='L1Loss')),
    'scope': (dict(type='mmdet.FPN'), dict(type='mmdet.FPN')),
}  # fmt: skip


@pytest.mark.parametrize(('part', 'stock'), PARTS.values(), ids=PARTS)
def test_parts_of_a_model(part, stock):
    assert stock_config(Config(dict(model=part))).model == stock
    assert stock_backbone(part) == stock


def test_only_this_packages_imports_and_wrapper_go():
    cfg = config(
        custom_imports=dict(imports=['mmgradaug', 'my.hooks'], allow_failed_imports=True),
        model_wrapper_cfg=dict(type='MMFullyShardedDataParallel'),
    )
    stock = stock_config(cfg)
    assert stock.custom_imports == dict(imports=['my.hooks'], allow_failed_imports=True)
    assert stock.model_wrapper_cfg == dict(type='MMFullyShardedDataParallel')
    cfg = config(model_wrapper_cfg=dict(type='GradAugDistributedDataParallel'))
    before = cfg.to_dict()
    assert not {'custom_imports', 'model_wrapper_cfg'} & set(stock_config(cfg))
    assert cfg.to_dict() == before, 'the config given is not changed'


def test_hooks_of_this_package_go_or_become_those_that_they_extend():
    hooks = dict(
        timer=dict(type='IterTimerHook'),
        checkpoint=dict(type='SafeCheckpointHook', interval=3, save_best='auto'),
        sampler_seed=dict(type='ReproducibleHook'),
        bad_images=dict(type='BadImagesHook'),
    )
    custom = [dict(type='EMAHook'), dict(type='mmgradaug.BadImagesHook')]
    stock = stock_config(config(default_hooks=hooks, custom_hooks=custom))
    assert stock.custom_hooks == [dict(type='EMAHook')]
    assert stock.default_hooks == dict(
        timer=dict(type='IterTimerHook'),
        checkpoint=dict(type='CheckpointHook', interval=3, save_best='auto'),
        sampler_seed=dict(type='DistSamplerSeedHook'),
    )


def test_what_has_no_counterpart_is_named():
    cfg = config(train_dataloader=dict(dataset=dict(type='TorchvisionImages', name='CIFAR10')))
    told = r"train_dataloader\.dataset\.type='TorchvisionImages' is of mmgradaug"
    with pytest.raises(ConfigError, match=told):
        stock_config(cfg)
    shaken = dict(type='SlimmableResNet', regulariser=dict(type='ShakeDrop'))
    with pytest.raises(ConfigError, match=r"'ShakeDrop'} weighs residual branches in evaluation"):
        stock_backbone(shaken)
