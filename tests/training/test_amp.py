"""Mixed precision: every pass in bfloat16, gradients near those of float32, one scale a batch."""

import copy

import pytest
import torch
from mmengine.optim import AmpOptimWrapper
from torch import nn

from tests.classification import tiny
from tests.networks import batch, build, detector_config
from tests.training.steps import (
    KeepsGradients,
    amp_on_cpu,
    gradients,
    sgd,
    step_gradients,
    with_float_heads,
)


class Amp(KeepsGradients, AmpOptimWrapper):
    """Its gradients can be read after a step."""


@pytest.fixture(autouse=True)
def _on_cpu():
    with amp_on_cpu():
        yield


def a_detector():
    return with_float_heads(build(detector_config(recompute_above=1))), batch()


def a_classifier():
    # No map of 1 x 1: torch 2.10's CPU kernel of its bfloat16 weight gradient reads memory that
    # nobody wrote.
    return tiny.build(gradaug=dict(recompute_above=1)), tiny.batch(16, size=64)


@pytest.mark.parametrize(
    ('build_model', 'least_cosine'), [(a_detector, 0.97), (a_classifier, 0.99)]
)
def test_gradients_are_near_those_of_float32(build_model, least_cosine):
    model, data = build_model()
    right = step_gradients(copy.deepcopy(model), data)
    options = dict(dtype='bfloat16', loss_scale=dict(init_scale=8.0, growth_interval=2))
    wrapper = sgd(model, wrapper=Amp, clip_grad=dict(max_norm=1e9), **options)
    dtypes = {}  # of what layers give, pass by pass
    for name, layer in model.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(
                lambda m, args, out, name=name: dtypes.setdefault(name, []).append(out.dtype)
            )
    torch.manual_seed(3)
    model.train_step(copy.deepcopy(data), wrapper)
    assert {dtype for found in dtypes.values() for dtype in found} == {torch.bfloat16}
    assert len(dtypes['backbone.layer4.1.conv2']) == 3  # passes
    left = gradients(model)
    assert {gradient.dtype for gradient in left.values()} == {torch.float32}
    flat_left = torch.cat([left[k].flatten() for k in right])
    flat_right = torch.cat([right[k].flatten() for k in right])
    assert torch.cosine_similarity(flat_left, flat_right, dim=0) > least_cosine
    assert abs(flat_left.norm() / flat_right.norm() - 1) < 0.1  # scaled and unscaled alike
    # One update of the scale a batch, not one per pass: it grows after two batches.
    assert wrapper.loss_scaler.get_scale() == 8.0
    model.zero_grad()
    model.train_step(copy.deepcopy(data), wrapper)
    assert wrapper.loss_scaler.get_scale() == 16.0


def states(model, wrapper):
    """Weights and momenta, bit by bit."""
    momenta = [s['momentum_buffer'] for s in wrapper.optimizer.state_dict()['state'].values()]
    return [t.clone() for t in (*model.parameters(), *momenta)]


@pytest.mark.parametrize('clip_grad', [None, dict(max_norm=1.0)], ids=['', 'clipped'])
def test_a_gradient_of_one_pass_that_overflows_skips_the_step_alone(clip_grad):
    """As float16 does; the CPU casts to bfloat16, the rest of the way is the same."""
    model, data = a_classifier()
    options = dict(dtype='bfloat16', clip_grad=clip_grad, loss_scale=dict(init_scale=8.0))
    wrapper = sgd(model, lr=0.1, wrapper=AmpOptimWrapper, **options)
    model.train_step(data, wrapper)
    before = states(model, wrapper)

    def overflows(gradient):
        is_subnet = model.backbone.conv1.width == 0.5
        return gradient * float('inf') if is_subnet else gradient

    handle = model.fc.bias.register_hook(overflows)
    log = model.train_step(data, wrapper)
    handle.remove()
    assert torch.isfinite(log['loss'])
    assert all(torch.equal(a, b) for a, b in zip(before, states(model, wrapper), strict=True))
    assert wrapper.loss_scaler.get_scale() == 4.0
    assert wrapper.inner_count == 2
    assert gradients(model) == {}
    model.train_step(data, wrapper)
    after = states(model, wrapper)
    assert all(t.isfinite().all() for t in after)
    # Matrices: a clipped step may be less than what rounding leaves of BatchNorm's weights of 1.
    pairs = [(a, b) for a, b in zip(before, after, strict=True) if a.ndim > 1]
    assert pairs and all(not torch.equal(a, b) for a, b in pairs)
