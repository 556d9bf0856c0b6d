"""Options of data loaders, and parts of a model that do not fit together."""

import re

import pytest
from mmengine.config import ConfigDict

from mmgradaug.engine.preflight import check_model, check_run
from mmgradaug.engine.preflight.loaders import check_loaders
from mmgradaug.engine.preflight.model import check_features, check_init_cfgs
from tests.networks import build


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (dict(batch_size=None), 'batch_size is None, expected a whole number of images >= 1'),
        (dict(batch_size=0), 'batch_size is 0'),
        (dict(num_worker=2), 'num_worker is no option of a data loader: write num_workers'),
        (dict(colour=2), 'colour is no option of a data loader: expected some of dataset, batch'),
        (dict(num_workers=0.5), 'num_workers is 0.5, expected a whole number of processes >= 0'),
        (dict(num_workers=True), 'num_workers is True'),
        (dict(persistent_workers=True), 'persistent_workers is True without processes'),
        (dict(prefetch_factor=2), 'prefetch_factor is 2 without processes'),
        (dict(num_workers=1, prefetch_factor=0.5), 'prefetch_factor is 0.5, expected None or'),
        (dict(sampler=None), 'sampler is None, expected the config of a sampler'),
        (dict(sampler='DefaultSampler'), "sampler is 'DefaultSampler', expected the config"),
        (dict(batch_sampler='abc'), "batch_sampler is 'abc', expected None or a dict"),
        (dict(dataset=[]), 'dataset is [], expected the config of a dataset'),
        (
            dict(dataset=dict(type='RepeatDataset', times=0, dataset=dict(type='CocoDataset'))),
            'dataset.times is 0, expected a whole number >= 1',
        ),
    ],
)
def test_options_of_loaders_are_named(cfg, options, words):
    cfg.train_dataloader.update(options)
    with pytest.raises(ValueError, match=re.escape(f'train_dataloader.{words}')):
        check_run(cfg, ('train', 'val'))


def test_a_batch_sampler_needs_a_batch_size(cfg):
    check_loaders(cfg, ('train', 'val'))
    cfg.train_dataloader.batch_sampler = dict(type='AspectRatioBatchSampler')
    cfg.train_dataloader.num_batch_per_epoch = 3  # mmengine's
    check_loaders(cfg, ('train',))
    del cfg.train_dataloader.batch_size
    with pytest.raises(ValueError, match='batch_size is missing'):
        check_loaders(cfg, ('train',))


@pytest.mark.parametrize(
    ('key', 'value', 'words'),
    [
        ('pipeline', 'abc', "pipeline is 'abc', expected a list of dicts"),
        ('pipeline', 0, 'pipeline is 0, expected a list of dicts'),
        ('pipeline', [dict(type='LoadImageFromFile'), None], 'pipeline is .* expected a list'),
        ('filter_cfg', dict(min_size='abc'), "min_size is 'abc', expected a number of pixels"),
    ],
)
def test_options_of_data_sets_are_named(cfg, key, value, words):
    cfg.train_dataloader.dataset[key] = value
    with pytest.raises(ValueError, match=rf'train_dataloader\.dataset\.(filter_cfg\.)?{words}'):
        check_model(cfg, ('train',))


def test_a_neck_that_does_not_take_the_features_is_named(cfg):
    cfg.model.backbone.base_channels = 4
    with pytest.raises(ValueError, match=r'model\.neck fails .* \[4, 8, 16, 32\] channels'):
        check_model(cfg, ('train',))
    cfg.model.backbone.update(base_channels=8, out_indices=(1, 2))
    with pytest.raises(ValueError, match=r'model\.neck fails .* \[16, 32\] channels'):
        check_model(cfg, ('train',))


def test_features_are_checked_without_a_trace(detector):
    model = build(detector)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    check_features(model)
    check_init_cfgs(model)
    assert model.training
    assert all((value == before[key]).all() for key, value in model.state_dict().items())


def test_initialisations_that_nobody_can_follow_are_named(detector):
    model = build(detector)
    for value in (7, ConfigDict(a=1), [None]):
        model.neck.init_cfg = value
        with pytest.raises(ValueError, match=r'model\.neck\.init_cfg=.*expected None, a dict'):
            check_init_cfgs(model)
