"""Distillation of whole two-stage detectors: nothing to learn from, and unusual batches."""

import copy

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mmgradaug.transforms import Scale
from tests.detection.passes import SOFT, subnet_losses, taught
from tests.networks import batch, build, detector_config

SOFT_LOSSES = {
    'loss_rpn_cls_soft',
    'loss_rpn_bbox_soft',
    'loss_roi_cls_soft',
    'loss_roi_bbox_soft',
    'loss_mask_soft',
}


@pytest.mark.parametrize('mask', [True, False])
def test_a_student_equal_to_its_teacher_has_nothing_to_learn(mask):
    """Where BatchNorm trains; the other heads are in test_dense.py and test_roi_heads.py."""
    model = build(detector_config(mask, distill=SOFT))
    data = taught(model, batch(mask=mask))
    losses = subnet_losses(model, data, Scale(1.0))
    assert soft_names(losses) == SOFT_LOSSES - (set() if mask else {'loss_mask_soft'})
    for name, loss in losses.items():
        assert loss.abs() < 1e-5 or 'loss' not in name, name
        assert loss == 1 or 'agree' not in name, name
    largest = max(p.grad.abs().max().item() for p in model.parameters() if p.grad is not None)
    assert largest < 1e-6


def test_frozen_norms_make_the_same_student_differ_from_its_teacher():
    """The full network reads running statistics, sub-networks their batch's: docs/DISTILLATION.md.

    With the batch's own as running statistics, there is nothing to learn again.
    """
    config = detector_config(distill=SOFT)
    config.backbone.norm_eval = True
    model = build(config)
    losses = subnet_losses(model, taught(model, batch()), Scale(1.0))
    assert soft_names(losses) == SOFT_LOSSES
    assert all(losses[name] > 1e-6 for name in SOFT_LOSSES)
    data = model.data_preprocessor(batch(), True)
    reads_batch_statistics(model.backbone, data['inputs'])
    losses = subnet_losses(model, taught(model, batch()), Scale(1.0))
    assert all(losses[name].abs() < 1e-5 for name in SOFT_LOSSES)


def soft_names(losses):
    return {name for name in losses if name.endswith('_soft')}


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
    data = model.data_preprocessor(batch(), True)
    losses = []
    for mode in ('loss', 'full'):
        torch.manual_seed(0)
        losses.append(model.parse_losses(copy.deepcopy(model)(**copy.deepcopy(data), mode=mode))[1])
    assert losses[0].keys() == losses[1].keys()
    assert all(torch.equal(losses[0][k], losses[1][k]) for k in losses[0])


DISTILL = {'default': None, 'both': dict.fromkeys(SOFT, 'both'), 'labels': 'labels'}


@pytest.mark.parametrize(
    ('mask', 'distill', 'num_items'),
    [(True, distill, items) for distill in DISTILL for items in [(0, 0), (0, 3), (2,), (0,)]]
    + [(False, distill, (0, 0)) for distill in DISTILL],
)
def test_unusual_batches_train(mask, distill, num_items):
    model = build(detector_config(mask, num_subnets=1, distill=DISTILL[distill]))
    before = copy.deepcopy(model.rpn_head.state_dict())
    optim = torch.optim.SGD(model.parameters(), lr=0.001)
    log = model.train_step(batch(num_items, mask=mask), OptimWrapper(optim))
    assert torch.isfinite(log['loss'])
    after = model.state_dict()
    assert all(tensor.isfinite().all() for tensor in after.values())
    assert not torch.equal(before['rpn_cls.weight'], after['rpn_head.rpn_cls.weight'])


def test_crowd_only_images_train():
    model = build(detector_config(distill=dict.fromkeys(SOFT, 'both')))
    data = batch((2, 2))
    for sample in data['data_samples']:
        sample.ignored_instances = sample.gt_instances[:]
        sample.gt_instances = sample.gt_instances[:0]
    log = model.train_step(data, OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.001)))
    assert torch.isfinite(log['loss'])
