"""Distillation of whole two-stage detectors: nothing to learn from, and unusual batches."""

import copy

import pytest
import torch
from torch import nn

from mmgradaug.transforms import Scale
from tests.detection.passes import BOTH, SOFT, full_losses, preprocessed, subnet_losses, taught
from tests.networks import batch, build, detector_config
from tests.oracles import assert_equal
from tests.training.steps import sgd

SOFT_LOSSES = {
    f'loss_{name}_soft' for name in ('rpn_cls', 'rpn_bbox', 'roi_cls', 'roi_bbox', 'mask')
}


def test_frozen_norms_make_the_same_student_differ_from_its_teacher():
    """Unless the running statistics that the full network reads are the batch's own."""
    config = detector_config(distill=SOFT)
    config.backbone.norm_eval = True
    model = build(config)
    losses = subnet_losses(model, taught(model, batch()), Scale(1.0))
    assert {name for name in losses if name.endswith('_soft')} == SOFT_LOSSES
    assert all(losses[name] > 1e-6 for name in SOFT_LOSSES)
    data = preprocessed(model, batch())
    reads_batch_statistics(model.backbone, data['inputs'])
    losses = subnet_losses(model, taught(model, batch()), Scale(1.0))
    assert all(losses[name].abs() < 1e-5 for name in SOFT_LOSSES)


def reads_batch_statistics(network, images):
    """Make a batch's mean and variance the running statistics of every BatchNorm."""

    def keep(norm, args):
        norm.running_mean = args[0].mean((0, 2, 3))
        norm.running_var = args[0].var((0, 2, 3), correction=0)

    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    handles = [norm.register_forward_pre_hook(keep) for norm in norms]
    with torch.no_grad():
        network(images)
    for handle in handles:
        handle.remove()


def test_full_pass_losses_are_the_stock_ones():
    model = build(detector_config())
    data = preprocessed(model, batch())
    losses = []
    for mode in ('loss', 'full'):
        torch.manual_seed(0)
        losses.append(model.parse_losses(copy.deepcopy(model)(**copy.deepcopy(data), mode=mode))[1])
    assert_equal(*losses)


DISTILL = {'default': None, 'both': BOTH, 'labels': 'labels'}


@pytest.mark.parametrize(
    ('mask', 'distill', 'num_items'),
    [(True, distill, items) for distill in DISTILL for items in [(0, 0), (0, 3), (2,)]]
    + [(False, distill, (0, 0)) for distill in DISTILL],
)
def test_unusual_batches_train(mask, distill, num_items):
    model = build(detector_config(mask, num_subnets=1, distill=DISTILL[distill]))
    before = copy.deepcopy(model.rpn_head.state_dict())
    log = model.train_step(batch(num_items, mask=mask), sgd(model, lr=0.001))
    assert torch.isfinite(log['loss'])
    assert any('_soft' in key for key in log) == (distill != 'labels')
    after = model.state_dict()
    assert all(tensor.isfinite().all() for tensor in after.values())
    assert not torch.equal(before['rpn_cls.weight'], after['rpn_head.rpn_cls.weight'])


def test_crowd_only_images_train():
    model = build(detector_config(distill=BOTH))
    data = batch((2, 2))
    for sample in data['data_samples']:
        sample.ignored_instances = sample.gt_instances[:]
        sample.gt_instances = sample.gt_instances[:0]
    log = model.train_step(data, sgd(model))
    assert torch.isfinite(log['loss'])


def test_hard_losses_of_the_region_proposal_network_are_the_stock_ones_of_one_class():
    model = build(detector_config(distill=BOTH))
    data = preprocessed(model, batch())
    full = model.parse_losses(full_losses(model, data))[1]
    subnet = subnet_losses(model, data, Scale(1.0))
    for name in ('rpn_cls', 'rpn_bbox'):
        assert full[f'loss_{name}'] > 0
        assert torch.equal(subnet[f'loss_{name}_hard'], full[f'loss_{name}'])
