import pytest
import torch
from mmengine.config import Config

from mmgradaug import SlimmableResNeXt
from mmgradaug.engine.preflight import check_data, check_run, check_weights
from mmgradaug.engine.preflight.datasets import coco_uses
from mmgradaug.engine.preflight.pretrained import check_backbone_weights, check_pretrained_files

WRAPPERS = [
    lambda d: dict(type='RepeatDataset', times=2, dataset=d),
    lambda d: dict(type='ConcatDataset', datasets=[d, d]),
    lambda d: dict(type='ClassBalancedDataset', oversample_thr=0.1, dataset=d),
    lambda d: dict(type='MultiImageMixDataset', dataset=dict(type='RepeatDataset', dataset=d)),
]


def test_complete_run_passes(cfg, capsys):
    check_run(cfg, ('train', 'val'))
    check_run(cfg, ('test',))
    assert capsys.readouterr().err == ''


@pytest.mark.parametrize('channels', [1, 4])
def test_images_need_not_have_three_channels(cfg, channels):
    cfg.model.backbone.in_channels = channels
    cfg.model.data_preprocessor.update(mean=None, std=None, bgr_to_rgb=False)
    check_run(cfg, ('train', 'val'))


@pytest.mark.parametrize(
    ('missing', 'key'), [('annotations/train.json', 'ann_file'), ('train', 'data_prefix.img')]
)
def test_missing_data_is_named_with_its_key_and_the_fix(cfg, root, missing, key):
    (root / missing).rename(root / 'elsewhere')
    cfg.data_help = 'run tools/make_it.py'
    with pytest.raises(FileNotFoundError) as error:
        check_data(cfg, ('train',))
    assert str(root / missing) in str(error.value)
    assert f'train_dataloader.dataset.{key}' in str(error.value)
    assert 'run tools/make_it.py' in str(error.value)


def test_missing_file_of_an_evaluator_is_named(cfg, root):
    cfg.val_evaluator.ann_file = f'{root}/annotations/vall.json'
    told = r'vall\.json \(val_evaluator\.ann_file\) \(perhaps .*/annotations/val\.json\)'
    with pytest.raises(FileNotFoundError, match=told):
        check_data(cfg, ('train', 'val'))
    cfg.val_evaluator = [dict(type='VOCMetric'), cfg.val_evaluator]
    with pytest.raises(FileNotFoundError, match=r'\(val_evaluator\.1\.ann_file\)'):
        check_data(cfg, ('val',))
    check_data(cfg, ('test',))


@pytest.mark.parametrize('wrap', WRAPPERS)
def test_wrapped_data_sets_are_checked(cfg, root, spoil, wrap):
    cfg.train_dataloader.dataset = wrap(cfg.train_dataloader.dataset)
    check_data(cfg, ('train',))
    spoil(lambda c: [a.update(category_id=99) for a in c['annotations']] and None)
    with pytest.raises(ValueError, match=r'train\.json \(train_dataloader\.dataset\.dataset'):
        check_data(cfg, ('train',))
    (root / 'annotations/train.json').unlink()
    with pytest.raises(FileNotFoundError, match=r'train\.json'):
        check_data(cfg, ('train',))


@pytest.mark.parametrize(
    'change',
    [
        dict(data_root='s3://bucket/coco/'),
        dict(backend_args=dict(backend='petrel')),
        dict(type='VOCDataset', ann_file=''),
    ],
)
def test_remote_data_and_other_formats_are_left_alone(cfg, change):
    cfg.train_dataloader.dataset.update(change)
    check_data(cfg, ('train',))


@pytest.mark.parametrize('kind', ['LVISV1Dataset', 'CityscapesDataset', 'Objects365V1Dataset'])
def test_data_sets_with_rules_of_their_own_are_not_read(cfg, spoil, kind):
    spoil(lambda content: {})
    cfg.train_dataloader.dataset.type = kind
    assert coco_uses(cfg, ('train',)) == []
    check_data(cfg, ('train',))


def test_an_unknown_option_of_a_data_set_is_an_error(cfg):
    cfg.train_dataloader.dataset.colour = 'red'
    with pytest.raises(TypeError, match='colour'):
        coco_uses(cfg, ('train',))


def test_images_need_a_prefix(cfg):
    cfg.train_dataloader.dataset.data_prefix = dict(image='train/')
    with pytest.raises((ValueError, FileNotFoundError), match='data_prefix'):
        check_data(cfg, ('train',))


def test_missing_pretrained_file_is_named(cfg, root):
    init_cfg = dict(type='Pretrained', checkpoint=str(root / 'none.pth'))
    cfg.model.backbone.init_cfg = init_cfg
    words = r'none\.pth \(model\.backbone\.init_cfg\.checkpoint\)'
    with pytest.raises(FileNotFoundError, match=words):
        check_run(cfg, ('train',))
    check_run(cfg, ('test',))  # a checkpoint replaces it
    cfg.model.backbone.init_cfg.checkpoint = 'torchvision://resnet50'
    check_weights(cfg)


def test_pretrained_files_of_parts_in_lists_are_looked_for(root):
    missing = dict(init_cfg=dict(type='Pretrained', checkpoint=str(root / 'none.pth')))
    with pytest.raises(FileNotFoundError, match=r'\(model\.neck\.1\.init_cfg\.checkpoint\)'):
        check_pretrained_files(dict(neck=[dict(type='FPN'), dict(type='BFP', **missing)]))


def test_other_processes_look_for_files_only(cfg, spoil):
    path = spoil(lambda content: {})
    check_run(cfg, ('train',), main_process=False)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        check_run(cfg, ('train',), main_process=False)


def test_a_root_that_no_data_set_has_is_told(cfg, root, tmp_path):
    (root / 'annotations/train.json').unlink()
    with pytest.raises(FileNotFoundError) as raised:
        check_data(cfg, ('train',))
    assert 'does not reach' not in str(raised.value)
    (tmp_path / 'pets').mkdir()
    cfg.data_root = f'{tmp_path}/pets'
    with pytest.raises(
        FileNotFoundError, match=r"data_root='.*/pets' at the top .* does not reach"
    ):
        check_data(cfg, ('train',))


def test_weights_of_other_groups_are_named_before_the_run(tmp_path):
    options = dict(depth=50, base_channels=8, base_width=1)
    torch.save(SlimmableResNeXt(**options, groups=8).state_dict(), tmp_path / 'w.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'w.pth'))
    backbone = dict(type='SlimmableResNeXt', **options, init_cfg=init_cfg)
    check_backbone_weights(Config(dict(model=dict(backbone=dict(backbone, groups=8)))))
    with pytest.raises(ValueError, match=r'w\.pth has shape .* groups and base_width'):
        check_backbone_weights(Config(dict(model=dict(backbone=dict(backbone, groups=4)))))
