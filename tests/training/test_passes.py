"""What a pass is given: labels of its own, whatever the heads of other passes do with theirs."""

import copy

import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import BaseDataElement

from mmgradaug.training.sampler import Subnet
from mmgradaug.training.step import run_pass, running_as
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


@pytest.mark.parametrize('distill', [None, 'labels'])
def test_no_pass_changes_what_the_others_are_given(distill, monkeypatch):
    """Heads of mmdet replace fields of their data samples; here everything is replaced."""
    model = build(detector_config(distill=distill))
    data = model.data_preprocessor(batch(semantic=True), True)
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
            del sample.ignored_instances, sample.gt_sem_seg.sem_seg
        return losses

    monkeypatch.setattr(model, 'forward', greedy)
    turned = DrawnChain((Rotate(1), Scale(0.75)))
    for subnet in (None, Subnet(0.5, Scale(0.5)), Subnet(0.7, turned)):
        with running_as(model, subnet):
            run_pass(model, data, subnet)
    assert seen == [before] * 3
    assert contents(data['data_samples']) == before
    assert torch.equal(data['inputs'], images)
