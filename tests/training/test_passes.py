"""What passes are given and leave: labels of their own, and counts of the full pass."""

import copy
from functools import partial

import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import BaseDataElement

from mmgradaug.training.sampler import Subnet
from mmgradaug.training.step import run_pass, running_as
from mmgradaug.transforms import DrawnChain, Rotate, Scale
from tests.networks import batch, build, dense_config, detector_config
from tests.oracles import assert_equal
from tests.training.steps import sgd


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


GHM = dict(
    loss_cls=dict(type='GHMC', bins=30, momentum=0.75, use_sigmoid=True),
    loss_bbox=dict(type='GHMR', mu=0.02, bins=10, momentum=0.7),
)


def seesaw_config(**gradaug):
    model = detector_config(**gradaug)
    model.roi_head.bbox_head.loss_cls = dict(type='SeesawLoss', num_classes=3)
    return model


@pytest.mark.parametrize(('config', 'distill', 'buffer'), [
    (partial(dense_config, 'retinanet/retinanet_r50_fpn_1x_coco', GHM), None, 'acc_sum'),
    (seesaw_config, 'labels', 'cum_samples'),
], ids=['distilled', 'labels'])  # fmt: skip
def test_what_losses_count_is_of_the_full_pass(config, distill, buffer):
    """As BatchNorm's running statistics are."""
    model, data = build(config(distill=distill)), batch(size=64)
    full = copy.deepcopy(model)
    torch.manual_seed(0)
    full(**full.data_preprocessor(copy.deepcopy(data), True), mode='full')
    torch.manual_seed(0)
    model.train_step(copy.deepcopy(data), sgd(model))
    expected = {name: value for name, value in full.named_buffers() if name.endswith(buffer)}
    assert expected and all(value.any() for value in expected.values())
    found = dict(model.named_buffers())
    assert_equal(expected, {name: found[name] for name in expected})
