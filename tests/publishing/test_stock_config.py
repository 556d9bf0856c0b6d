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


def config(**extra):
    values = dict(
        custom_imports=dict(imports=['mmgradaug'], allow_failed_imports=False),
        model=dict(
            type='GradAugDetector',
            detector='MaskRCNN',
            gradaug=dict(num_subnets=2),
            backbone=dict(type='SlimmableResNet', depth=18, width_divisor=8),
        ),
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


def test_backbone_options_of_this_package_go():
    model = stock_config(config()).model
    assert model == dict(type='MaskRCNN', backbone=dict(type='ResNet', depth=18))
    for name in ('SlimmableResNetV1d', 'mmgradaug.backbones.resnet.SlimmableResNetV1d'):
        cfg = config()
        cfg.model.backbone.type = name
        assert stock_config(cfg).model.backbone.type == 'ResNetV1d'
    cfg.model.backbone.regulariser = dict(type='DropPath')
    assert 'regulariser' not in stock_config(cfg).model.backbone
    cfg.model.backbone.regulariser = dict(type='ShakeDrop')
    with pytest.raises(ValueError, match=r"'ShakeDrop'} weighs residual branches in evaluation"):
        stock_config(cfg)
    shaken = dict(depth=20, alpha=9, regulariser=dict(type='ShakeDrop'))
    network = dict(type='SlimmablePyramidNet', width_divisor=8, **shaken)
    assert stock_backbone(network) == dict(type='PyramidNet', **shaken)


def test_detectors_inside_detectors_are_found():
    inner = config().model
    outer = stock_config(Config(dict(model=dict(type='SoftTeacher', detector=inner))))
    assert outer.model.type == 'SoftTeacher'
    assert outer.model.detector.type == 'MaskRCNN'


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


def test_pretrained_weights_go_and_other_initialisations_stay():
    cfg = config()
    pretrained = dict(type='Pretrained', checkpoint='mine.pth')
    cfg.model.backbone.init_cfg = pretrained
    cfg.model.neck = dict(type='FPN', init_cfg=dict(type='Xavier', layer='Conv2d'))
    cfg.model.rpn_head = dict(init_cfg=[dict(type='Kaiming', layer='Conv2d'), pretrained])
    model = stock_config(cfg).model
    assert model.backbone.init_cfg is None
    assert model.neck.init_cfg.type == 'Xavier'
    assert model.rpn_head.init_cfg == [dict(type='Kaiming', layer='Conv2d')]


@pytest.mark.parametrize(('pretrained', 'left'), [('mine.pth', None), (True, False)])
def test_the_older_key_of_pretrained_weights_keeps_its_type(pretrained, left):
    backbone = stock_backbone(dict(type='ResNet', depth=18, pretrained=pretrained))
    assert backbone['pretrained'] is left


def test_python_style_types_are_written_by_their_names():
    cfg = config()
    cfg.model.test_cfg = dict(nms=dict(type='mmcv.ops.nms', iou_threshold=0.5))
    cfg.model.loss = dict(type='mmdet.models.losses.smooth_l1_loss.L1Loss')
    cfg.model.neck = dict(type='mmdet.FPN')
    model = stock_config(cfg).model
    found = [model.test_cfg.nms.type, model.loss.type, model.neck.type]
    assert found == ['nms', 'L1Loss', 'mmdet.FPN']


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
