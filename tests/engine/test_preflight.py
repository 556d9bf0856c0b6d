import pytest
from mmengine.config import Config

from mmgradaug.engine.preflight import check_run


def config(root, **extra):
    dataset = dict(
        type='CocoDataset',
        data_root=str(root),
        ann_file='train.json',
        data_prefix=dict(img='images/'),
    )
    return Config(dict(train_dataloader=dict(dataset=dataset), model=dict(type='MaskRCNN')) | extra)


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'images').mkdir()
    (tmp_path / 'train.json').write_text('{}')
    return tmp_path


def test_complete_data_passes(root):
    check_run(config(root), ('train', 'val', 'test'))


@pytest.mark.parametrize(
    ('missing', 'key'), [('train.json', 'ann_file'), ('images', 'data_prefix.img')]
)
def test_missing_data_is_named_with_its_key_and_the_fix(root, missing, key):
    (root / missing).rename(root / 'elsewhere')
    cfg = config(root, data_help='run tools/make_it.py')
    with pytest.raises(FileNotFoundError) as error:
        check_run(cfg, ('train',))
    assert str(root / missing) in str(error.value)
    assert f'train_dataloader.dataset.{key}' in str(error.value)
    assert 'run tools/make_it.py' in str(error.value)


@pytest.mark.parametrize('wrap', [
    lambda d: dict(type='RepeatDataset', times=2, dataset=d),
    lambda d: dict(type='ConcatDataset', datasets=[d, d]),
    lambda d: dict(type='MultiImageMixDataset', dataset=dict(type='RepeatDataset', dataset=d)),
])  # fmt: skip
def test_wrapped_data_sets_are_checked(root, wrap):
    cfg = config(root)
    cfg.train_dataloader.dataset = wrap(cfg.train_dataloader.dataset)
    check_run(cfg, ('train',))
    (root / 'train.json').unlink()
    with pytest.raises(FileNotFoundError, match=r'train\.json'):
        check_run(cfg, ('train',))


def test_remote_data_is_not_looked_for(root):
    cfg = config(root)
    cfg.train_dataloader.dataset.data_root = 's3://bucket/coco/'
    check_run(cfg, ('train',))


def test_missing_pretrained_file_is_named(root):
    init_cfg = dict(type='Pretrained', checkpoint=str(root / 'none.pth'))
    cfg = config(root, model=dict(type='MaskRCNN', backbone=dict(type='ResNet', init_cfg=init_cfg)))
    with pytest.raises(
        FileNotFoundError, match=r'none\.pth \(model\.backbone\.init_cfg\.checkpoint\)'
    ):
        check_run(cfg, ('train',))
    check_run(cfg, ('test',))  # a checkpoint replaces it
    cfg.model.backbone.init_cfg.checkpoint = 'torchvision://resnet50'
    check_run(cfg, ('train',))
