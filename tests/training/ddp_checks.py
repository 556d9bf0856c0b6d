"""What each process of a group does for test_ddp.py: it trains, and returns numbers."""

import copy
import datetime
import hashlib
import logging
import multiprocessing
import os
import traceback
from unittest import mock

import mmengine.model.utils
import torch
import torch.distributed as dist
import torch.distributed.nn.functional as differentiable
from mmdet.utils import register_all_modules
from mmengine.hooks import EMAHook
from mmengine.logging import MessageHub
from mmengine.model import (
    MMDistributedDataParallel,
    MMSeparateDistributedDataParallel,
    convert_sync_batchnorm,
)
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.modules.batchnorm import _BatchNorm

from mmgradaug import GradAugDistributedDataParallel
from mmgradaug.errors import ConfigError
from tests.classification import tiny
from tests.networks import batch, build, dense_config, detector_config, random_images, randomised
from tests.training.steps import amp_on_cpu, frozen_norms, gradients, sgd, with_float_heads

ITEMS = [(3, 2), (1, 4), (2, 0), (4, 1), (1, 1), (2, 3)]  # objects of a shard's two images
HALF = dict(type='RandomScale', scales=[1.0, 0.5])
SECONDS = 120  # after which a group that waits for one of its own gives up


def run_group(world, checks, folder):
    """Run checks ``(rank, world)`` in a group of processes; returns what each found, by name.

    They are forked from a server that has imported this module: mmdet is imported once in a
    session. A check that raised has its traceback, and those after it are missing.
    """
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload([__name__])
    arguments = [(rank, world, checks, folder) for rank in range(world)]
    processes = [context.Process(target=run_checks, args=args) for args in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(3 * SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
    return [torch.load(folder / f'{rank}.pt', weights_only=True) for rank in range(world)]


def run_checks(rank, world, checks, folder):
    """One process of a group."""
    torch.set_num_threads(1)
    options = dict(rank=rank, world_size=world, timeout=datetime.timedelta(seconds=SECONDS))
    dist.init_process_group('gloo', init_method=f'file://{folder}/rendezvous', **options)
    results = {}
    for check in checks:
        try:
            results[check.__name__] = check(rank, world)
        except BaseException:
            results[check.__name__] = traceback.format_exc()
            break
    torch.save(results, folder / f'{rank}.pt')
    if any(isinstance(result, str) for result in results.values()):
        os._exit(1)  # the others see at once that this one is gone
    dist.destroy_process_group()


def digest(tensors):
    """A hash of tensors' bits."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.detach().contiguous().numpy().tobytes())
    return found.hexdigest()


def fcos_config():
    """A tiny FCOS, which normalises its losses by means over processes."""
    name = 'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco'
    return dense_config(name, transform=HALF, distill='labels')


def step(model, rank, wrapper, index=0):
    """A training step on a process's shard, its own random numbers drawn alike everywhere.

    Sizes of shards and their numbers of objects differ.
    """
    torch.manual_seed(100 * index + rank)
    shard = rank + index
    return model.train_step(batch(ITEMS[shard % len(ITEMS)], size=64 + 32 * (shard % 2)), wrapper)


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
    """Gradients of one step, torch's wrapper configured in several ways, and those of an FCOS."""
    found = {}
    for name, options in {
        'default': {},
        'unused': dict(find_unused_parameters=True),
        'views': dict(gradient_as_bucket_view=True),
        'buffers': dict(broadcast_buffers=True),
    }.items():
        model = GradAugDistributedDataParallel(build(frozen_norms()), **options)
        step(model, rank, sgd(model))
        found[name] = gradients(model)
    model = GradAugDistributedDataParallel(build(fcos_config()))
    step(model, rank, sgd(model))
    return {**found, 'fcos': gradients(model)}


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
    """Weights after a step in bfloat16, and its loss."""
    with amp_on_cpu():
        model = GradAugDistributedDataParallel(with_float_heads(build(detector_config())))
        wrapper = sgd(model, lr=0.01, wrapper=AmpOptimWrapper, dtype='bfloat16')
        log = step(model, rank, wrapper)
    return {'weights': digest(model.parameters()), 'loss': float(log['full/loss'])}


def class_step(model, rank, wrapper, index=0):
    """A training step of a classifier on a process's images."""
    torch.manual_seed(100 * index + rank)
    return model.train_step(tiny.batch(seed=rank, size=16), wrapper)


EVERY_SECOND = dict(every=2, transform=dict(type='RandomMask', patch=4))


def every_second_is_plain(rank, world):
    """Gradients, passes and bytes sent of an iteration with sub-networks, and of one without."""
    model, found = GradAugDistributedDataParallel(tiny.build(gradaug=EVERY_SECOND)), []
    sent = count_bytes(model)
    for index in range(2):
        log = class_step(model, rank, sgd(model), index)
        passes = sum(key.endswith('/seconds') for key in log)
        found.append({'gradients': gradients(model), 'passes': passes, 'bytes': sum(sent)})
        sent.clear()
        model.zero_grad()
    return found


DEPTH_RESNET = dict(type='SlimmableDepthResNet', depth=14)
CLASSIFIERS = {  # the last two of random depth: the full network, and sub-networks
    'widths': {},
    'stochastic depth': dict(
        kind='Classifier', backbone=DEPTH_RESNET | dict(stochastic=True, survival=0.2)
    ),
    'depths': dict(backbone=DEPTH_RESNET, gradaug=dict(shrink='depth', num_subnets=3)),
}


def classifiers_train(rank, world):
    """Gradients of a first step and weights after two more, without looking for unused ones."""
    found = {}
    for name, options in CLASSIFIERS.items():
        is_plain = 'kind' in options
        wrap = MMDistributedDataParallel if is_plain else GradAugDistributedDataParallel
        model = wrap(tiny.build(**options), find_unused_parameters=False)
        class_step(model, rank, sgd(model))
        found[name] = {'gradients': gradients(model)}
        wrapper = sgd(model, lr=0.05, wrapper=OptimWrapper)
        for index in (1, 2):
            class_step(model, rank, wrapper, index)
        found[name]['weights'] = digest(model.parameters())
    return found


def count_bytes(model):
    """Sizes of the gradient buckets that a wrapper reduces from now on."""
    sent = []

    def hook(state, bucket):
        sent.append(bucket.buffer().nbytes)
        return allreduce_hook(state, bucket)

    model.register_comm_hook(None, hook)
    return sent


def sends(rank, world):
    """Bytes of gradients by number of sub-networks, and other operations of a step."""
    found = {}
    for subnets in (0, 3):
        model = GradAugDistributedDataParallel(build(detector_config(num_subnets=subnets)))
        sent = count_bytes(model)
        with (
            mock.patch.object(dist, 'all_reduce', wraps=dist.all_reduce) as reduced,
            mock.patch.object(dist, 'broadcast', wraps=dist.broadcast) as sent_out,
        ):
            step(model, rank, sgd(model))
        assert not sent_out.called
        calls = [call.args[0].nbytes for call in reduced.call_args_list]
        found[str(subnets)] = {'bytes': sum(sent), 'calls': calls}
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
    original, message = model.module.subnet_loss, ''

    def infinite(*args):
        factor = float('inf') if rank == world - 1 else 1.0
        return {k: v * factor for k, v in original(*args).items()}

    with mock.patch.object(model.module, 'subnet_loss', infinite):
        try:
            step(model, rank, wrapper)
        except ConfigError as error:
            message = str(error)
    unchanged = digest(model.parameters()) == before
    step(model, rank, wrapper, 1)  # the processes are still in step
    return {'message': message, 'unchanged': unchanged, 'weights': digest(model.parameters())}


def wrong_wrappers(rank, world):
    """What is raised where a wrapper would drop sub-networks, or cannot train them."""
    errors = {}
    for name, wrap in {
        'plain': MMDistributedDataParallel,
        'separate': MMSeparateDistributedDataParallel,
        'none': lambda model: model,
        'mmcv': lambda model: GradAugDistributedDataParallel(convert_sync_batchnorm(model, 'mmcv')),
        'fine': GradAugDistributedDataParallel,
    }.items():
        try:
            model = wrap(build(detector_config()))
            step(model, rank, sgd(model))
        except ConfigError as error:
            errors[name] = str(error)
    stock = build(detector_config(num_subnets=0))
    plain = MMDistributedDataParallel(stock)
    log = step(plain, rank, sgd(plain))
    GradAugDistributedDataParallel(convert_sync_batchnorm(stock, 'mmcv'))  # no sub-networks
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


def double_classifier(norm='BN'):
    """Learns from labels, recomputes activations, and all in double precision."""
    model = tiny.build(
        backbone=tiny.BACKBONE | dict(norm_cfg=dict(type=norm)),
        data_preprocessor=dict(type='BaseDataPreprocessor'),
        gradaug=dict(transform=HALF, recompute_above=0, distill='labels'),
    )
    model.label_loss = nn.functional.cross_entropy  # its own is in float32
    return randomised(model.double())


def train_in_double(model, shards):
    """Two steps; weights, statistics and the kinds of BatchNorm afterwards."""
    wrapper = sgd(model, lr=0.05, wrapper=OptimWrapper)
    for index in range(2):
        seeds = [shard + 10 * index for shard in shards]
        images = [random_images(2, 3, 32, 32, seed=s, dtype=torch.float64) for s in seeds]
        labels = torch.tensor([seed % 3 for seed in seeds for _ in range(2)])
        model.train_step({'inputs': torch.cat(images), 'data_samples': labels}, wrapper)
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
            model = double_classifier(norm)
            if name == 'converted':
                model = convert_sync_batchnorm(model, 'torch')
            model = GradAugDistributedDataParallel(model)
            found[name] = train_in_double(model, [rank])
    return found


register_all_modules(init_default_scope=True)
