"""What sub-networks have to equal, and what has to stay as it is."""

from contextlib import nullcontext

import torch

from mmgradaug import at_depth, at_width, extract_subnet
from mmgradaug.slimmable.depth import skippable_blocks
from tests.networks import random_images

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}


def relative_error(left, right):
    scale = max(right.abs().max().item(), 1e-30)
    return (left - right).abs().max().item() / scale


def run(network, x, width=None, kept=None):
    """Outputs, and gradients of a random linear function of them; all calls draw the same noise."""
    network.zero_grad()
    torch.manual_seed(1)
    narrow = nullcontext() if width is None else at_width(network, width)
    shallow = nullcontext() if kept is None else at_depth(network, kept)
    with narrow, shallow:
        outs, total = network(x), 0.0
        for index, out in enumerate(outs):
            weights = random_images(2048, seed=index, dtype=out.dtype)[: out.size(1)]
            total = total + (out * weights[:, None, None]).sum()
        total.backward()
    return outs, {k: p.grad for k, p in network.named_parameters()}


def assert_slice_equals_dense(network, width, x, kept=None):
    """Outputs and zero-padded gradients of a sub-network are the extracted dense network's."""
    tolerance = TOLERANCE[x.dtype]
    dense = extract_subnet(network, width)
    for block, keep in zip(skippable_blocks(dense), kept or (), strict=kept is not None):
        if not keep:
            block.residual = lambda x: torch.zeros(())
    outs, grads = run(network, x, width, kept)
    dense_outs, dense_grads = run(dense, x)
    for out, dense_out in zip(outs, dense_outs, strict=True):
        channels = dense_out.size(1)
        assert relative_error(out[:, :channels], dense_out) <= tolerance
        assert out[:, channels:].abs().sum() == 0
    assert grads.keys() == dense_grads.keys()
    for name, grad in grads.items():
        padded = torch.zeros_like(grad)
        if dense_grads[name] is not None:  # of a block that the sub-network lacks
            padded[tuple(slice(n) for n in dense_grads[name].shape)] = dense_grads[name]
        assert relative_error(grad, padded) <= tolerance, name


def statistics(model):
    """BatchNorm's running statistics and counters."""
    return {k: v.clone() for k, v in model.named_buffers() if 'running' in k or 'tracked' in k}


def assert_equal(left, right):
    """Two dicts of tensors are the same, bit by bit."""
    assert left.keys() == right.keys()
    for key in left:
        assert torch.equal(left[key], right[key]), key
