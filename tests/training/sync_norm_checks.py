"""What each process of a group does for test_ddp.py with synchronised BatchNorm."""

from __future__ import annotations

from unittest import mock

import torch
import torch.distributed.nn.functional as differentiable
from mmengine.model import convert_sync_batchnorm
from mmengine.optim import OptimWrapper
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmgradaug import GradAugDistributedDataParallel
from mmgradaug.classification import GradAugClassifier
from tests.classification import tiny
from tests.networks import random_images, randomised
from tests.training.ddp_checks import HALF
from tests.training.steps import sgd


class Classifier(GradAugClassifier):
    """Learns from labels, recomputes activations, and all in double precision."""

    def __init__(self, norm='BN'):
        super().__init__(
            tiny.BACKBONE | dict(norm_cfg=dict(type=norm)),
            3,
            data_preprocessor=dict(type='BaseDataPreprocessor'),
            gradaug=dict(num_subnets=2, min_width=0.5, transform=HALF, seed=0, recompute_above=0,
                         distill='labels'),
        )  # fmt: skip
        randomised(self.double())

    def label_loss(self, logits, targets):
        return nn.functional.cross_entropy(logits, targets)


def images_of(shards):
    """Images and classes of shards, as one batch."""
    images = torch.cat([random_images(2, 3, 32, 32, seed=s, dtype=torch.float64) for s in shards])
    return {'inputs': images, 'data_samples': torch.tensor([s % 3 for s in shards for _ in '12'])}


def train_classifier(model, shards):
    """Two steps; weights, statistics and the kinds of BatchNorm afterwards."""
    wrapper = sgd(model, lr=0.05, wrapper=OptimWrapper)
    for index in range(2):
        model.train_step(images_of([s + 10 * index for s in shards]), wrapper)
    module = getattr(model, 'module', model)
    kinds = {type(m).__name__ for m in module.modules() if isinstance(m, _BatchNorm)}
    return {'state': dict(module.state_dict()), 'kinds': sorted(kinds)}


def sync_on_cpu(x, weight, bias, mean, var, eps, momentum, group, world):
    """torch's synchronised BatchNorm, whose kernels need a GPU, from differentiable operations."""
    assert mean is not None, 'without running statistics it takes no half precision'
    count = world * x.numel() // x.size(1)
    total = differentiable.all_reduce(torch.stack([x.sum((0, 2, 3)), x.square().sum((0, 2, 3))]))
    centre = total[0] / count
    variance = total[1] / count - centre.square()
    with torch.no_grad():
        mean.lerp_(centre, momentum)
        var.lerp_(variance * count / (count - 1), momentum)
    shape = (1, -1, 1, 1)
    scaled = (x - centre.view(shape)) * (variance.view(shape) + eps).rsqrt()
    return scaled * weight.view(shape) + bias.view(shape)


def sync_norms(rank, world):
    """Training with synchronised BatchNorm, converted by mmengine and configured."""
    found, forward = {}, nn.SyncBatchNorm.forward

    def on_cpu(layer, x):
        with mock.patch.object(torch._C, '_get_privateuse1_backend_name', return_value='cpu'):
            return forward(layer, x)  # which asks whether the device may synchronise

    with (
        mock.patch.object(nn.SyncBatchNorm, 'forward', on_cpu),
        mock.patch.object(nn.modules.batchnorm.sync_batch_norm, 'apply', sync_on_cpu),
        mock.patch.object(GradAugDistributedDataParallel, '_passing_sync_batchnorm_handle'),
    ):
        for name, norm in (('converted', 'BN'), ('configured', 'SyncBN')):
            model = Classifier(norm)
            if name == 'converted':
                model = convert_sync_batchnorm(model, 'torch')
            model = GradAugDistributedDataParallel(model)
            found[name] = train_classifier(model, [rank])
    return found
