"""Recomputed activations: the same gradients bit by bit, from less memory."""

import copy
from contextlib import nullcontext

import pytest

from mmgradaug import at_width
from mmgradaug.evaluation.cost import peak_allocation
from mmgradaug.training import step
from mmgradaug.training.recompute import recomputing
from tests.networks import batch, build, detector_config, random_images, small_resnet
from tests.oracles import assert_equal
from tests.training.steps import gradients, sgd


def backward(network, images, recompute):
    """Most bytes held in a sub-network pass, its gradients, and the buffers afterwards."""
    network = copy.deepcopy(network)

    def run():
        with at_width(network, 0.7):
            with recomputing(network) if recompute else nullcontext():
                outputs = network(images)
            sum(out.square().sum() for out in outputs).backward()

    return peak_allocation(run), gradients(network), dict(network.named_buffers())


@pytest.mark.parametrize(('depth', 'share'), [(18, 0.85), (50, 0.65)])
def test_gradients_are_the_same_bitwise_and_less_memory_is_held(depth, share):
    network, images = small_resnet(depth), random_images(2, 3, 256, 256)
    plain_bytes, plain, buffers = backward(network, images, recompute=False)
    saved_bytes, saved, same_buffers = backward(network, images, recompute=True)
    assert saved_bytes < share * plain_bytes
    assert_equal(plain, saved)
    assert_equal(buffers, same_buffers)


def test_blocks_are_as_before_and_configured_checkpointing_is_left_alone():
    network = small_resnet(18)
    network.layer1[0].with_cp = True
    with recomputing(network):
        assert 'forward' not in vars(network.layer1[0])
        assert 'forward' in vars(network.layer2[0])
        with recomputing(network):  # nests
            pass
        assert 'forward' in vars(network.layer2[0])
    assert not any('forward' in vars(module) for module in network.modules())


@pytest.mark.parametrize(('scale', 'share', 'sizes', 'expected'), [
    (1.0, 0.7, [256], 1), (0.8, 0.7, [256], 0), (0.8, 0.6, [256], 1), (1.0, 1, [256], 0),
    (0.2, 0, [256], 1),
    # Of 64 pixels 0.707 leaves 45, less than half of the image, and of 96 68, more. Processes with
    # batches of either size have to agree: a recomputed SyncBN waits for those of the others.
    (0.707, 0.5, [64, 96], 0),
])  # fmt: skip
def test_passes_on_large_images_recompute(monkeypatch, scale, share, sizes, expected):
    """By their scale alone, whatever the size of the batch."""
    calls = []
    original = step.recomputing
    monkeypatch.setattr(step, 'recomputing', lambda m: calls.append(m) or original(m))
    transform = dict(type='RandomScale', scales=[scale])
    model = build(detector_config(num_subnets=1, transform=transform, recompute_above=share))
    for size in sizes:
        model.train_step(batch(size=size), sgd(model))
    assert len(calls) == expected
