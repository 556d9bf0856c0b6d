import pytest
from mmengine.hub import get_config

from mmgradaug.engine.preflight import check_model, check_run
from mmgradaug.engine.preflight.classes import misspelling_of

HEADS = r'model\.roi_head\.bbox_head\.num_classes=3, model\.roi_head\.mask_head\.num_classes={}'


@pytest.mark.parametrize('number', [1, 80])
def test_heads_that_disagree_are_named_with_the_data_set(cfg, number):
    cfg.model.roi_head.mask_head.num_classes = number
    words = f'{HEADS.format(number)}, but train_dataloader.dataset has 3 classes .circle, square'
    with pytest.raises(ValueError, match=words):
        check_run(cfg, ('train',))
    with pytest.raises(ValueError, match=f'{HEADS.format(number)}: expected equal'):
        check_model(cfg)


def test_heads_that_disagree_with_the_data_set(cfg):
    cfg.val_dataloader.dataset.metainfo.classes = ('circle', 'square')
    check_model(cfg, ('train',))
    with pytest.raises(ValueError, match=r'but val_dataloader\.dataset has 2 classes'):
        check_model(cfg, ('train', 'val'))


def test_default_classes_and_default_number_of_classes(cfg):
    for loop in ('train', 'val'):
        del cfg[f'{loop}_dataloader'].dataset['metainfo']
    with pytest.raises(ValueError, match=r"80 classes .*class's own, set metainfo\.classes"):
        check_model(cfg, ('train',))
    for head in ('bbox_head', 'mask_head'):
        del cfg.model.roi_head[head]['num_classes']
    check_model(cfg, ('train', 'val'))  # 80 everywhere
    cfg.train_dataloader.dataset.metainfo = dict(classes=('circle', 'square', 'triangle'))
    with pytest.raises(ValueError, match=HEADS.replace('=3', '=80').format(80)):
        check_model(cfg, ('train',))


def test_a_single_class_needs_its_comma(cfg):
    cfg.train_dataloader.dataset.metainfo.classes = 'circle'
    with pytest.raises(ValueError, match=r"text 'circle', .* write classes=\('circle',\)"):
        check_model(cfg, ('train',))
    cfg.train_dataloader.dataset.metainfo.classes = ['circle', 'circle', 'square']
    with pytest.raises(ValueError, match='different names'):
        check_model(cfg, ('train',))


def test_sub_networks_have_to_learn_something(cfg):
    keys = ('rpn_cls', 'rpn_bbox', 'roi_cls', 'roi_bbox', 'roi_mask')
    cfg.model.gradaug.distill = dict.fromkeys(keys, 'off')
    check_model(cfg, ('test',))
    with pytest.raises(ValueError, match=r"'off' for every output .* set gradaug\.num_subnets=0"):
        check_model(cfg, ('train',))


def test_labels_that_are_places_have_to_agree(cfg):
    for loop, names in (('train', ('cat', 'dog')), ('val', ('dog', 'cat'))):
        dataset = dict(type='VOCDataset', ann_file='', metainfo=dict(classes=names))
        cfg[f'{loop}_dataloader'].dataset = dict(type='ConcatDataset', datasets=[dataset])
    words = r"class 'dog' has place 0 in val_dataloader\.dataset\.datasets\.0\..* and 1 in train_"
    with pytest.raises(ValueError, match=words):
        check_model(cfg, ('train', 'val'))
    check_model(cfg, ('train',))


@pytest.mark.parametrize(
    ('name', 'other', 'alike'),
    [
        ('Traffic Light', 'traffic_light', True),
        ('traffic light', 'trafic light', True),
        ('truck', 'trucks', True),
        ('grade_1', 'grade_2', False),
        ('class a', 'class b', False),
        ('house', 'horse', False),
        ('male', 'female', False),
        ('indoor plant', 'outdoor plant', False),
        ('+', '-', False),
    ],
)
def test_misspellings(name, other, alike):
    assert misspelling_of(name, ['something', other]) == (other if alike else None)


def test_open_vocabulary_is_left_alone(cfg):
    cfg.train_dataloader.dataset.return_classes = True
    cfg.model.roi_head.bbox_head.num_classes = 256
    cfg.model.roi_head.mask_head.num_classes = 256
    check_model(cfg, ('train',))


def test_an_rpn_alone_has_one_class(cfg):
    model = get_config('mmdet::rpn/rpn_r50_fpn_1x_coco.py').model
    cfg.model = model | dict(backbone=model.backbone | dict(depth=18, init_cfg=None))
    cfg.model.neck.in_channels = [64, 128, 256, 512]
    check_run(cfg, ('train',))
