"""How tests take training steps and read what comes of them."""

import copy
import functools
from contextlib import contextmanager
from unittest import mock

import torch
from mmengine.optim import OptimWrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper
from torch.utils._pytree import tree_map

from mmgradaug import at_depth, at_width
from mmgradaug.slimmable import skippable_blocks
from tests.networks import detector_config


class KeepsGradients(OptimWrapper):
    """Does all but clear the gradients after a step, so that a test can read them."""

    def zero_grad(self, **kwargs):
        pass


def sgd(model, lr=0.0, wrapper=KeepsGradients, **kwargs):
    return wrapper(optimizer=torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9), **kwargs)


def frozen_norms(**gradaug):
    config = detector_config(**gradaug)
    config.backbone.norm_eval = True
    return config


def gradients(model):
    model = getattr(model, 'module', model)
    return {k: p.grad.clone() for k, p in model.named_parameters() if p.grad is not None}


def step_gradients(model, data, seed=3, **kwargs):
    """Gradients of a training step whose draws start from a seed."""
    torch.manual_seed(seed)
    model.train_step(copy.deepcopy(data), sgd(model, **kwargs))
    return gradients(model)


def assert_close(left, right, tolerance):
    """Compare each tensor, relative to its largest element."""
    assert left.keys() == right.keys()
    for name in left:
        scale = max(right[name].abs().max().item(), 1e-6)
        assert (left[name] - right[name]).abs().max().item() <= tolerance * scale, name


def summed_gradients(model, data):
    """Reference: all passes forward, then one backward of the sum of their losses."""
    model = copy.deepcopy(model)
    data = model.data_preprocessor(copy.deepcopy(data), True)
    torch.manual_seed(3)
    total = model.parse_losses(model(**data, mode='full'))[0]
    for subnet in model.sample_subnets():
        kept = subnet.kept_blocks(model) or [True] * len(skippable_blocks(model))
        with at_width(model, subnet.width), at_depth(model, kept):
            images, mapping = subnet.transform(data['inputs'])
            images = model.pad_images(images, mapping.in_size)
            losses = model(images, data['data_samples'], mode='subnet', mapping=mapping)
            total = total + model.parse_losses(losses)[0]
    total.backward()
    return gradients(model)


@contextmanager
def amp_on_cpu():
    """mmengine asks for a GPU, but torch scales and casts on the CPU as well."""
    scaler = functools.partial(torch.amp.GradScaler, 'cpu')
    with (
        mock.patch.object(amp_optimizer_wrapper, 'is_cuda_available', return_value=True),
        mock.patch.object(amp_optimizer_wrapper, 'GradScaler', scaler),
    ):
        yield


def with_float_heads(detector):
    """Cast what necks and proposal networks give to float32, all that mmcv's CPU ops take."""
    for module in (detector.neck, detector.rpn_head):
        module.register_forward_hook(lambda m, args, outs: tree_map(torch.Tensor.float, outs))
    return detector
