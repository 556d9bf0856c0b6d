"""What each process of a group does for test_ddp.py: it trains, and returns numbers."""

from __future__ import annotations

import copy
import functools
import hashlib
import logging
from contextlib import contextmanager, nullcontext
from unittest import mock

import mmengine.model.utils
import torch
import torch.distributed as dist
import torch.distributed.nn.functional as differentiable
from mmdet.utils import register_all_modules
from mmengine.hooks import EMAHook
from mmengine.hub import get_config
from mmengine.logging import MessageHub
from mmengine.model import (
    BaseModel,
    MMDistributedDataParallel,
    MMSeparateDistributedDataParallel,
    convert_sync_batchnorm,
    revert_sync_batchnorm,
)
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.modules.batchnorm import _BatchNorm

from mmgradaug import GradAugDistributedDataParallel, at_width
from mmgradaug.classification import TopKAccuracy
from mmgradaug.training import GradAugMixin, GradAugOptions, ddp
from tests.classification import tiny
from tests.networks import (
    batch,
    build,
    detector_config,
    random_images,
    randomised,
    small_resnet,
)

ITEMS = [(3, 2), (1, 4), (2, 0), (4, 1), (1, 1), (2, 3)]  # objects of a shard's two images
HALF = dict(type='RandomScale', scales=[1.0, 0.5])


class KeepsGradients(OptimWrapper):
    """Does all but clear the gradients after a step, so that they can be read."""

    def zero_grad(self, **kwargs):
        pass


def sgd(model, lr=0.0, wrapper=KeepsGradients, **kwargs):
    return wrapper(optimizer=torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9), **kwargs)


def gradients(model):
    model = getattr(model, 'module', model)
    return {k: p.grad.clone() for k, p in model.named_parameters() if p.grad is not None}


def digest(tensors):
    """A hash of tensors' bits."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.detach().contiguous().numpy().tobytes())
    return found.hexdigest()


def shard(index):
    """The images and labels of a process; their sizes and numbers of objects differ."""
    return batch(ITEMS[index % len(ITEMS)], size=64 + 32 * (index % 2))


def frozen_norms(**gradaug):
    config = detector_config(**gradaug)
    config.backbone.norm_eval = True
    return config


def fcos_config():
    """A tiny FCOS: it normalises its losses by means over processes."""
    model = get_config('mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py').model
    model.backbone.update(
        type='SlimmableResNet', depth=18, base_channels=8, init_cfg=None, frozen_stages=-1
    )
    model.neck.update(in_channels=[8, 16, 32, 64], out_channels=16)
    norm = dict(type='GN', num_groups=4, requires_grad=True)
    model.bbox_head.update(
        num_classes=3, in_channels=16, feat_channels=16, stacked_convs=1, norm_cfg=norm
    )
    model.detector, model.type = model.type, 'GradAugDetector'
    model.gradaug = dict(num_subnets=2, min_width=0.5, seed=0, transform=HALF, distill='labels')
    return model


def step(model, rank, wrapper, index=0):
    """A training step on a process's shard, its own random numbers drawn alike everywhere."""
    torch.manual_seed(100 * index + rank)
    return model.train_step(shard(rank + index), wrapper)


# ------------------------------------------------------------------ the step


def trains(rank, world):
    """Several steps as users take them, every process with a seed of its own."""
    MessageHub.get_instance('trains').update_info('seed', 5 + rank)  # diff_rank_seed
    model = GradAugDistributedDataParallel(build(detector_config(seed=None)))
    start = copy.deepcopy(model.module.state_dict())
    wrapper = sgd(model, lr=0.02, wrapper=OptimWrapper, clip_grad=dict(max_norm=5.0))
    runner = mock.Mock(model=model, iter=0)
    average = EMAHook(momentum=0.25)
    average.before_run(runner)
    logs = []
    for index in range(3):
        logs.append(step(model, rank, wrapper, index))
        average.after_train_iter(runner, index)
    weights = dict(model.module.named_parameters())
    return {
        'weights': digest(weights.values()),
        'average': digest(average.ema_model.parameters()),
        'statistics': digest(t for t in model.module.buffers() if t.is_floating_point()),
        'moved': sum(not torch.equal(start[k], weights[k]) for k in weights) / len(weights),
        'draws': [[log[f'subnet{i}/{k}'] for i in (1, 2) for k in ('width', 'scale')]
                  for log in logs],
        'losses': [float(log['full/loss']) for log in logs],
    }  # fmt: skip


def reduces(rank, world):
    """Gradients of one step."""
    model = GradAugDistributedDataParallel(build(frozen_norms()))
    step(model, rank, sgd(model))
    return gradients(model)


def reduces_otherwise(rank, world):
    """The same with torch's wrapper configured in other ways."""
    found = {}
    for name, options in {
        'unused': dict(find_unused_parameters=True),
        'views': dict(gradient_as_bucket_view=True),
        'buffers': dict(broadcast_buffers=True),
    }.items():
        model = GradAugDistributedDataParallel(build(frozen_norms()), **options)
        step(model, rank, sgd(model))
        found[name] = gradients(model)
    return found


def fcos_reduces(rank, world):
    """The same of a head that normalises its losses by means over processes."""
    model = GradAugDistributedDataParallel(build(fcos_config()))
    step(model, rank, sgd(model))
    return gradients(model)


def accumulates(rank, world):
    """Gradients of two batches a step, and bytes sent after each."""
    model = GradAugDistributedDataParallel(build(frozen_norms()))
    sent = count_bytes(model)
    wrapper, after = sgd(model, accumulative_counts=2), []
    for index in range(2):
        step(model, rank, wrapper, index)
        after.append(sum(sent))
    return {'gradients': gradients(model), 'bytes': after}


def mixed_precision(rank, world):
    """Weights after two steps in bfloat16, and the dtype of what was sent."""
    scaler = functools.partial(torch.amp.GradScaler, 'cpu')
    with (
        mock.patch.object(amp_optimizer_wrapper, 'is_cuda_available', return_value=True),
        mock.patch.object(amp_optimizer_wrapper, 'GradScaler', scaler),
    ):
        model = GradAugDistributedDataParallel(build(detector_config()))
        for module in (model.module.neck, model.module.rpn_head):  # mmcv's CPU ops: float32 alone
            module.register_forward_hook(lambda m, args, outs: floats(outs))
        wrapper = sgd(model, lr=0.01, wrapper=AmpOptimWrapper, dtype='bfloat16')
        logs = [step(model, rank, wrapper, index) for index in range(2)]
    return {
        'weights': digest(model.parameters()),
        'losses': [float(log['full/loss']) for log in logs],
    }


def floats(outputs):
    """Nested tuples and lists of tensors, cast to float32."""
    if isinstance(outputs, torch.Tensor):
        return outputs.float()
    return type(outputs)(floats(output) for output in outputs)


def classifier_trains(rank, world):
    """Gradients of an image classifier, and the accuracy of images spread over processes."""
    model = GradAugDistributedDataParallel(tiny.build())
    model.train_step(tiny.batch(seed=rank), sgd(model))
    metric = TopKAccuracy((1,))
    # Five images, of which mmengine's sampler gives the first twice; the first two are right.
    for index in [0, 2, 4] if rank == 0 else [1, 3, 0]:
        logits = torch.eye(3)[0 if index < 2 else 1]
        metric.process(None, [dict(logits=logits, gt_label=0)])
    return {'gradients': gradients(model), 'accuracy': metric.evaluate(5)}


RANDOM_DEPTH = {  # of the full network, and of sub-networks
    'full': dict(kind='Classifier', backbone=dict(stochastic=True, survival=0.2)),
    'subnets': dict(gradaug=dict(shrink='depth', num_subnets=3)),
}


def random_depth(name):
    """A tiny classifier whose residual blocks are left out at random."""
    options = copy.deepcopy(RANDOM_DEPTH[name])
    backbone = dict(type='SlimmableDepthResNet', depth=14) | options.pop('backbone', {})
    return tiny.build(**options, backbone=backbone)


def depth_step(model, rank, wrapper, index=0):
    """A step on a process's images, its own random numbers drawn alike everywhere."""
    torch.manual_seed(100 * index + rank)
    model.train_step(tiny.batch(seed=rank, size=16), wrapper)


def random_depth_trains(rank, world):
    """Gradients of a first step and weights after two more, without looking for unused ones."""
    found = {}
    for name, wrap in (
        ('full', MMDistributedDataParallel),
        ('subnets', GradAugDistributedDataParallel),
    ):
        model = wrap(random_depth(name), find_unused_parameters=False)
        depth_step(model, rank, sgd(model))
        found[name] = {'gradients': gradients(model)}
        wrapper = sgd(model, lr=0.05, wrapper=OptimWrapper)
        for index in (1, 2):
            depth_step(model, rank, wrapper, index)
        found[name]['weights'] = digest(model.parameters())
    return found


# ------------------------------------------------------------------ what is sent


def count_bytes(model):
    """Sizes of the gradient buckets that a wrapper reduces from now on."""
    sent = []

    def hook(state, bucket):
        sent.append(bucket.buffer().nbytes)
        return allreduce_hook(state, bucket)

    model.register_comm_hook(None, hook)
    return sent


@contextmanager
def counted_calls():
    """Bytes of the collective operations outside torch's wrapper, by name."""
    calls = []

    def watched(name, original):
        def call(tensor, *args, **kwargs):
            calls.append([name, tensor.nbytes])
            return original(tensor, *args, **kwargs)

        return call

    with mock.patch.multiple(
        dist, **{n: watched(n, getattr(dist, n)) for n in ('all_reduce', 'broadcast')}
    ):
        yield calls


def sends(rank, world):
    """Bytes of gradients by number of sub-networks, and other operations of a step."""
    found = {}
    for subnets in (0, 3):
        model = GradAugDistributedDataParallel(build(detector_config(num_subnets=subnets)))
        sent = count_bytes(model)
        with counted_calls() as calls:
            step(model, rank, sgd(model))
        found[str(subnets)] = {'bytes': sum(sent), 'calls': calls}
    model = MMDistributedDataParallel(build(detector_config(num_subnets=0)))
    sent = count_bytes(model)
    step(model, rank, sgd(model))
    found['stock'] = sum(sent)
    found['parameters'] = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    return found


def broadcasts(rank, world):
    """How often BatchNorm statistics are sent in two steps, and what they are at their start."""
    model = GradAugDistributedDataParallel(build(detector_config()), broadcast_buffers=True)
    starts = []
    original = model._sync_buffers

    def watched():
        original()
        starts.append(digest(t for t in model.module.buffers() if t.is_floating_point()))

    model._sync_buffers = watched
    wrapper = sgd(model, lr=0.02, wrapper=OptimWrapper)
    for index in range(2):
        step(model, rank, wrapper, index)
    return {'starts': starts, 'weights': digest(model.parameters())}


# ------------------------------------------------------------------ what may go wrong


def empty(rank, world):
    """Batches without objects on some processes, in turn; torch looks for no unused parameter."""
    digests = []
    for distill in (None, 'labels'):
        model = GradAugDistributedDataParallel(build(detector_config(distill=distill)))
        wrapper = sgd(model, lr=0.01, wrapper=OptimWrapper)
        for index in range(2):
            items = (0, 0) if (rank + index) % 2 else (3, 2)
            model.train_step(batch(items, size=64), wrapper)
            digests.append(digest(model.parameters()))
    return digests


def not_finite(rank, world):
    """What each process raises where the last one's second pass is infinite."""
    model = GradAugDistributedDataParallel(build(detector_config()))
    wrapper = sgd(model, lr=0.02, wrapper=OptimWrapper)
    before = digest(model.parameters())
    original, errors = model.module.subnet_loss, []

    def infinite(*args):
        factor = float('inf') if rank == world - 1 else 1.0
        return {k: v * factor for k, v in original(*args).items()}

    with mock.patch.object(model.module, 'subnet_loss', infinite):
        try:
            step(model, rank, wrapper)
        except FloatingPointError as error:
            errors.append(f'FloatingPointError: {error}')
    unchanged = digest(model.parameters()) == before
    step(model, rank, wrapper, 1)  # the processes are still in step
    return {'errors': errors, 'unchanged': unchanged, 'weights': digest(model.parameters())}


def wrong_wrappers(rank, world):
    """What is raised where a wrapper would drop sub-networks, or cannot train them."""
    errors = {}
    for name, wrap in {
        'plain': MMDistributedDataParallel,
        'separate': MMSeparateDistributedDataParallel,
        'none': lambda model: model,
        'static': functools.partial(GradAugDistributedDataParallel, static_graph=True),
        'mmcv': lambda model: GradAugDistributedDataParallel(convert_sync_batchnorm(model, 'mmcv')),
        'fine': GradAugDistributedDataParallel,
    }.items():
        try:
            model = wrap(build(detector_config()))
            step(model, rank, sgd(model))
        except (RuntimeError, ValueError) as error:
            errors[name] = str(error)
    plain = MMDistributedDataParallel(build(detector_config(num_subnets=0)))
    log = step(plain, rank, sgd(plain))
    return {'errors': errors, 'plain': float(log['loss'])}


def anomalies(rank, world):
    """What mmengine's search for parameters outside the graph reports of a step."""
    found = []
    for extra in (False, True):
        model = build(detector_config())
        if extra:
            model.neck.register_parameter('forgotten', nn.Parameter(torch.zeros(3)))
        model = GradAugDistributedDataParallel(
            model, detect_anomalous_params=True, find_unused_parameters=extra
        )
        with mock.patch.object(mmengine.model.utils, 'print_log') as said:
            step(model, rank, sgd(model))
        assert all(call.kwargs['level'] == logging.ERROR for call in said.call_args_list)
        found.append([call.args[0] for call in said.call_args_list])
    return found


# ------------------------------------------------------------------ synchronised BatchNorm


class PlainClassifier(BaseModel):
    """A network whose loss is a mean over images, in double precision."""

    def __init__(self, norm):
        super().__init__()
        self.backbone = small_resnet(18, norm_cfg=dict(type=norm))
        self.fc = randomised(nn.Linear(64, 3))
        self.double()

    def forward(self, inputs, data_samples=None, mode='tensor'):
        logits = self.fc(self.backbone(inputs)[-1].mean(dim=(2, 3)))
        if mode == 'loss':
            return {'loss': nn.functional.cross_entropy(logits, data_samples)}
        return logits


class Classifier(GradAugMixin, PlainClassifier):
    """The same with sub-networks, which learn from labels and recompute activations."""

    def __init__(self, norm='BN'):
        super().__init__(norm)
        self.gradaug = GradAugOptions.parse(
            dict(num_subnets=2, min_width=0.5, transform=HALF, seed=0, recompute_above=0)
        )

    def recording(self):
        return nullcontext()

    def forget(self):
        pass

    def subnet_loss(self, inputs, data_samples, mapping):
        return PlainClassifier.forward(self, inputs, data_samples, mode='loss')


def images_of(shards):
    """Images and classes of shards, as one batch."""
    images = torch.cat([random_images(2, 3, 64, 64, seed=s, dtype=torch.float64) for s in shards])
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
    count = world * x.numel() // x.size(1)
    total = differentiable.all_reduce(torch.stack([x.sum((0, 2, 3)), x.square().sum((0, 2, 3))]))
    centre = total[0] / count
    variance = total[1] / count - centre.square()
    if mean is not None:
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
        mock.patch.object(ddp, 'require_usable_norms'),
        mock.patch.object(GradAugDistributedDataParallel, '_passing_sync_batchnorm_handle'),
    ):
        for name, norm in (('converted', 'BN'), ('configured', 'SyncBN')):
            model = Classifier(norm)
            if name == 'converted':
                model = convert_sync_batchnorm(model, 'torch')
            model = GradAugDistributedDataParallel(model)
            found[name] = train_classifier(model, [rank])
    reverted = revert_sync_batchnorm(model.module).eval()
    with at_width(reverted, 0.5):
        narrow = reverted(images_of([0])['inputs'])
    kinds = {type(m).__name__ for m in reverted.modules() if isinstance(m, _BatchNorm)}
    return {**found, 'reverted': sorted(kinds), 'narrow': narrow.detach()}


register_all_modules(init_default_scope=True)
