"""What a pass is given: labels of its own, whatever the heads of other passes do with theirs."""

import copy

import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import BaseDataElement

from mmgradaug.training.sampler import Subnet
from mmgradaug.training.step import _own_samples, run_pass, running_as
from mmgradaug.transforms import DrawnChain, Rotate, Scale
from tests.networks import batch, build, detector_config


def contents(value):
    """All that a data sample holds, as plain values that can be compared."""
    if isinstance(value, BaseDataElement):
        items = [*value.metainfo_items(), *value.items()]
        return type(value), {key: contents(item) for key, item in items}
    if isinstance(value, BitmapMasks):
        return value.masks.tolist()
    if isinstance(value, list):
        return [contents(item) for item in value]
    return value.tolist() if hasattr(value, 'tolist') else copy.deepcopy(value)


def test_samples_are_copied_and_their_tensors_shared():
    samples = batch((3, 2), semantic=True)['data_samples']
    samples[0].proposals = samples[0].gt_instances[:1]
    before = contents(samples[0]), contents(samples[1])
    copies = _own_samples(samples)
    assert (contents(copies[0]), contents(copies[1])) == before
    for sample, own in zip(samples, copies, strict=True):
        for name, left in sample.items():
            right = own.get(name)
            assert left is not right
            assert left.keys() == right.keys()
            assert all(value is right.get(key) for key, value in left.items())
        own.gt_instances.labels = torch.zeros(len(own.gt_instances), dtype=torch.long)
        del own.gt_instances.masks
        del own.gt_sem_seg
        own.set_metainfo(dict(img_shape=(1, 1), scale_factor=(9.0, 9.0)))
        own.extra = own.gt_instances[:1]
    assert (contents(samples[0]), contents(samples[1])) == before


def test_other_labels_are_passed_on():
    labels = torch.arange(4)
    assert _own_samples(labels) is labels
    assert _own_samples(None) is None
    assert _own_samples([[labels], 'name'])[0][0] is labels


@pytest.mark.parametrize('distill', [None, 'labels'])
def test_no_pass_changes_what_the_others_are_given(distill, monkeypatch):
    """Heads of mmdet replace fields of their data samples; here everything is replaced."""
    model = build(detector_config(distill=distill))
    data = model.data_preprocessor(batch(), True)
    before, images, seen = contents(data['data_samples']), data['inputs'].clone(), []
    forward = model.forward

    def greedy(inputs, data_samples, **kwargs):
        seen.append(contents(data_samples))
        losses = forward(inputs, data_samples, **kwargs)
        for sample in data_samples:
            sample.gt_instances.labels = sample.gt_instances.labels * 0
            sample.gt_instances.bboxes = sample.gt_instances.bboxes + 7
            del sample.gt_instances.masks
            sample.set_metainfo(dict(img_shape=(1, 1)))
            del sample.ignored_instances
        return losses

    monkeypatch.setattr(model, 'forward', greedy)
    turned = DrawnChain((Rotate(1), Scale(0.75)))
    for subnet in (None, Subnet(0.5, Scale(0.5)), Subnet(0.7, turned)):
        with running_as(model, subnet):
            run_pass(model, data, subnet)
    assert seen == [before] * 3
    assert contents(data['data_samples']) == before
    assert torch.equal(data['inputs'], images)
