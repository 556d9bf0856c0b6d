"""Random depth: sub-networks, the stochastic depth of the full network, and the training step."""

import copy

import pytest
import torch

from mmgradaug import SlimmableDepthResNet
from mmgradaug.slimmable import skippable_blocks
from tests.backbones.small import small
from tests.classification import tiny
from tests.networks import build, detector_config, random_images, randomised
from tests.oracles import assert_equal, assert_slice_equals_dense, run, statistics
from tests.training.steps import assert_close, gradients, sgd, summed_gradients

# Blocks of each stage come in twos; the third and the fifth shrink the image.
PATTERNS = [
    (True,) * 6,
    (False,) * 6,
    (True, True, False, True, False, True),
    (False, True, True, False, True, False),
]


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('kept', PATTERNS)
@pytest.mark.parametrize('name', ['depth', 'depth_projection'])
def test_shallow_subnetworks_equal_dense_networks(name, kept, dtype):
    network, x = small(name, dtype), random_images(2, 3, 12, 16, dtype=dtype)
    for width in (0.6, 1.0):
        assert_slice_equals_dense(network, width, x, kept)


def test_laws_of_the_paper_and_of_the_released_code():
    with torch.device('meta'):
        paper = SlimmableDepthResNet(110)
        released = SlimmableDepthResNet(110, survival=0.8, keep_first=True, evaluation='expected')
    blocks, others = skippable_blocks(paper), skippable_blocks(released)
    assert len(blocks) == len(others) == 54
    assert blocks[0].survival == 1 - 0.5 / 54 and blocks[-1].survival == 0.5
    assert others[0].survival == 1.0 and others[-1].survival == pytest.approx(0.8)
    assert not any(block.expected or block.stochastic for block in blocks)
    assert all(block.expected and not block.stochastic for block in others)


def test_blocks_that_are_left_out_meet_in_synchronised_norms():
    """Each process leaves out others, and torch's layer waits for all."""
    x, found = random_images(2, 3, 8, 8), []
    for norm, reached in (('BN', {0, 1}), ('SyncBN', {1})):
        network = small('depth', stochastic=True, survival=0.2, norm_cfg=dict(type=norm))
        (out,), trained = run(network, x)
        found.append({**trained, 'out': out})
        counts = {int(v) for k, v in network.named_buffers() if k.endswith('batches_tracked')}
        assert counts == reached
    assert_equal(*found)


def test_stochastic_depth_trains_on_the_blocks_that_survive():
    network, x = small('depth', stochastic=True, survival=0.2), random_images(2, 3, 8, 8)
    blocks = skippable_blocks(network)
    torch.manual_seed(1)  # as run does
    kept = [bool(torch.rand(()) < block.survival) for block in blocks]
    assert 0 < sum(kept) < 6
    before = statistics(network)
    (out,), found = run(network, x)
    after = statistics(network)
    (expected_out,), expected = run(network, x, kept=kept)
    assert torch.equal(out, expected_out)
    assert_equal(found, expected)
    for name, block in network.named_modules():
        if block in blocks:
            key = f'{name}.bn1.running_mean'
            assert torch.equal(before[key], after[key]) != kept[blocks.index(block)]


@pytest.mark.parametrize('shrink', ['depth', 'both'])
def test_the_training_step_runs_the_drawn_blocks(shrink):
    gradaug = dict(num_subnets=3, distill='labels', shrink=shrink)
    backbone = dict(type='SlimmableDepthResNet', depth=14)
    model = randomised(tiny.build(backbone=backbone, gradaug=gradaug)).double().train()
    raw = tiny.batch(size=16)
    data = model.data_preprocessor(raw)
    alone = copy.deepcopy(model)
    full = alone(**data, mode='full')['loss_cls']
    subnets = model.sampler.sample(0, 0)
    depths = [sum(subnet.kept_blocks(model.backbone)) / 6 for subnet in subnets]
    expected = summed_gradients(model, raw)
    logs = model.train_step(raw, sgd(model))
    assert_close(gradients(model), expected, 1e-10)
    assert_equal(statistics(model), statistics(alone))
    assert [logs[f'subnet{i}/depth'] for i in (1, 2, 3)] == depths
    assert [logs[f'subnet{i}/width'] for i in (1, 2, 3)] == [s.width for s in subnets]
    assert min(depths) < 1
    torch.testing.assert_close(logs['full/loss'], full.detach())


def test_random_depth_of_a_network_without_such_blocks_is_refused():
    with pytest.raises(ValueError, match=r"shrink='depth' needs .*SlimmableDepthResNet"):
        build(detector_config(mask=False, shrink='depth'))
