"""Samples that cannot be loaded, and batches that lack something, are told in one line."""

from types import SimpleNamespace

import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import BaseDataset
from mmengine.optim import OptimWrapper
from torch.utils.data import DataLoader

from mmgradaug.engine.bad_images import BadImageError, BadImagesHook
from mmgradaug.engine.batch_contents import lacking
from mmgradaug.engine.reproducible import _require_batches
from mmgradaug.engine.samples import SampleError, load_sample
from tests.networks import batch, build, detector_config


class Fails(BaseTransform):
    """A transform that fails as it is told."""

    def __init__(self, error):
        self.error = error

    def transform(self, results):
        if self.error is None:
            return results['height'] + 1
        raise self.error


class Data(list):
    """A data set of one sample."""

    def __getitem__(self, index):
        return super().__getitem__(0)({'img_path': 'a.png'})


def test_the_sample_and_the_transform_are_named():
    with pytest.raises(SampleError) as error:
        load_sample(Data([Fails(TypeError('scale is a list'))]), 3)
    told = str(error.value)
    assert told.startswith('sample 3 (a.png) cannot be loaded by Fails: TypeError: scale is a list')
    assert ': raise self.error: correct train_dataloader.dataset' in told
    with pytest.raises(SampleError, match=r'KeyError: height, at .*test_samples\.py:\d+: return'):
        load_sample(Data([Fails(None)]), 3)


def test_bad_images_stay_what_they_are():
    with pytest.raises(BadImageError, match=r'^cut off$'):
        load_sample(Data([Fails(BadImageError('cut off'))]), 0)


class Drops(BaseTransform):
    """A transform that finds nothing in any sample."""

    def transform(self, results):
        return None


class Files(BaseDataset):
    """A data set of one image."""

    def load_data_list(self):
        return [{'img_path': 'a.png'}]


def test_a_transform_that_drops_every_sample_is_named():
    told = r'^sample 0 cannot be loaded: the pipeline gives nothing for it{}: Drops returned None '
    told += r'for a\.png: correct train_dataloader\.dataset'
    pipeline = [lambda results: results, Drops()]
    with pytest.raises(SampleError, match=told.format(', nor for 3 others in its place')):
        load_sample(Files(pipeline=pipeline, max_refetch=3), 0)
    with pytest.raises(SampleError, match=told.format('')):
        load_sample(Files(pipeline=pipeline, test_mode=True), 0)


@pytest.mark.parametrize('workers', [0, 1])
def test_samples_that_are_tested_are_named_too(workers):
    dataset = Files(pipeline=[Fails(TypeError('scale is a list'))], test_mode=True)
    loader = DataLoader(dataset, num_workers=workers)
    runner = SimpleNamespace(test_dataloader=loader, val_dataloader=loader)
    BadImagesHook().before_test_epoch(runner)
    BadImagesHook().before_val_epoch(runner)
    told = r'sample 0 \(a\.png\) cannot be loaded by Fails: .*: correct test_dataloader\.dataset'
    with pytest.raises(SampleError, match=told):
        list(loader)


def test_nothing_to_train_on_is_an_error():
    _require_batches(DataLoader([1, 2], 2), epochs=True)
    _require_batches(DataLoader([1], 2, drop_last=True), epochs=False)  # endless samplers fill it
    for loader, epochs in (
        (DataLoader([1], 2, drop_last=True), True),
        (DataLoader([0][:0]), False),
    ):
        with pytest.raises(ValueError, match='gives no batch, expected at least one'):
            _require_batches(loader, epochs)


@pytest.mark.parametrize(
    ('part', 'words'),
    [
        ('inputs', "no 'inputs': end the pipeline"),
        ('bboxes', "no 'bboxes'.*with_bbox=True"),
        ('masks', "no 'masks'.*with_mask=True"),
    ],
)
def test_what_batches_lack_is_named(part, words):
    model, data = build(detector_config()), batch()
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), 0.1))
    if part == 'inputs':
        del data['inputs']
    else:
        for sample in data['data_samples']:
            delattr(sample.gt_instances, part)
    with pytest.raises((KeyError, AttributeError)) as error:
        model.train_step(data, wrapper)
    assert lacking(AttributeError("'Mine' object has no attribute 'masks'")) is None
    assert words.split('.*')[0] in lacking(error.value)
    assert words.split('.*')[-1] in lacking(error.value)
