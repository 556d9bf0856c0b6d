"""GradAug's training step (algorithm 1 of the paper), for every model and number of processes."""

import logging
import math
import time
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from mmengine.logging import print_log
from mmengine.model import detect_anomalous_params, is_model_wrapper
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.structures import BaseDataElement
from torch import Tensor
from torch.nn import BatchNorm2d

from ..errors import ConfigError, listed
from ..transforms import GeometricMap, Transform
from .recompute import recomputing
from .sampler import Subnet

UNTOUCHED = 'The weights are as they were before this step (BatchNorm statistics are not)'


@torch.compiler.disable  # as a runner's key `compile` asks for: each width would be a graph
def gradaug_step(model: Any, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Any]:
    """Train the full network and the iteration's sub-networks on a batch.

    They run forward and backward one after the other, so that only one pass's activations are
    alive; their gradients add up; the optimizer steps once.

    The model has :class:`~mmgradaug.training.GradAugMixin`, or is its wrapper for several
    processes. ``data`` is a batch before the data preprocessor. Gradient accumulation, mixed
    precision and clipping are the optimizer wrapper's own.

    Returns:
        Values to log: the full network's losses under their stock names, ``loss`` summed
        over all passes with their weights, and ``full/...`` and ``subnet1/...`` values of each.

    Raises:
        ConfigError: If a loss is NaN or infinite; the weights are as before the step.
    """
    module = model.module if is_model_wrapper(model) else model
    with optim_wrapper.optim_context(model):  # as mmengine's own step does
        batch = module.data_preprocessor(data, True)
    passes = [None, *module.sample_subnets()]
    weights = pass_weights(module, len(passes) - 1)
    count = optim_wrapper.inner_count
    results = []
    on_gpu = batch['inputs'].is_cuda
    marks = [_mark_time(on_gpu)]
    with ExitStack() as stack:
        stack.callback(module.clear)  # what the full pass recorded lives no longer
        for index, subnet in enumerate(passes):
            # Only the last pass synchronises gradients between processes, which sends their sum
            # once; the others' forward has to be inside of `no_sync`, too.
            syncs = index == len(passes) - 1 or not is_model_wrapper(model)
            with nullcontext() if syncs else model.no_sync(), running_as(module, subnet):
                with optim_wrapper.optim_context(model):
                    losses, what = run_pass(model, batch, subnet)
                loss, logs = module.parse_losses(losses)
                if getattr(model, 'detect_anomalous_params', False):
                    detect_anomalous_params(loss, model=model)
                optim_wrapper.backward(optim_wrapper.scale_loss(weights[index] * loss))
            # `backward` counts batches, on which gradient accumulation relies: all passes are one.
            optim_wrapper._inner_count = count
            terms = {k: v.detach() for k, v in logs.items() if not k.endswith('_untrained')}
            results.append({**what, **terms})
            marks.append(_mark_time(on_gpu))
    _require_finite(results, optim_wrapper, batch)
    optim_wrapper._inner_count = count + 1
    if optim_wrapper.should_update():
        optim_wrapper.step()
        optim_wrapper.zero_grad()
    return _merge_logs(results, weights, [_seconds(*pair) for pair in pairwise(marks)])


def pass_weights(module: Any, num_subnets: int) -> list[float]:
    """Return the weight of each pass's loss; without sub-networks the iteration is plain."""
    full, subnets = module.gradaug.weights['full'], module.gradaug.weights['subnets']
    return [full, *[subnets] * num_subnets] if num_subnets else [1.0]


def running_as(module: Any, subnet: Subnet | None) -> AbstractContextManager[Any]:
    """Run a module as a sub-network, or as it is; forward and backward belong inside."""
    return nullcontext() if subnet is None else subnet.active_in(module)


def run_pass(model: Any, batch: dict, subnet: Subnet | None) -> tuple[dict, dict]:
    """Run forward one pass of the network that is set, see :func:`running_as`.

    Returns its losses on a preprocessed batch, and what to log of a sub-network besides.
    """
    module = model.module if is_model_wrapper(model) else model
    own = {**batch, 'data_samples': _own_samples(batch.get('data_samples'))}
    if subnet is None:
        return model(**own, mode='full'), {}
    images, mapping = transformed(module, subnet.transform, batch['inputs'])
    own['inputs'] = module.pad_images(images, mapping.in_size)
    scale = math.prod(mapping.scale) ** 0.5
    what = {'width': subnet.width, 'scale': scale, 'turns': mapping.turns}
    if (kept := subnet.kept_blocks(module)) is not None:
        what['depth'] = sum(kept) / len(kept)
    # Of a fixed size, for all processes have to agree: a recomputed SyncBN waits for the others.
    probe = images.new_zeros(1, images.size(1), 256, 256)
    is_large = math.prod(subnet.transform(probe)[1].scale) > module.gradaug.recompute_above
    with recomputing(module) if is_large else nullcontext():
        return model(**own, mode='subnet', mapping=mapping), what


def transformed(model: Any, transform: Transform, images: Tensor) -> tuple[Tensor, GeometricMap]:
    """Transform images (N, C, H, W); where nothing of them would be left, enlarge what is.

    Each process decides on its own batch: what they have to share is passes, not scales.
    """
    moved, mapping = transform(images)
    least = least_side(model, len(images), mapping.in_size)
    if max(small := mapping.out_size) < least:
        moved = F.interpolate(moved, (least, least), mode='bilinear')
        mapping = replace(mapping, out_size=(least, least))
        if not getattr(model, '_told_of_limit', False):
            model._told_of_limit = True
            sizes = (mapping.in_size, small, mapping.out_size)
            batch, before, after = (f'{height} x {width}' for height, width in sizes)
            print_log(
                f'gradaug.transform makes a batch of {batch} pixels {before}, below the stride of '
                f'the network: it is enlarged to {after}. So are others; this is said once',
                logger='current',
                level=logging.WARNING,
            )
    return moved, mapping


def least_side(model: Any, images: int, size: tuple[int, int]) -> int:
    """Return the pixels that a batch of so many images of a size needs on its larger side.

    One cell of the network, or what BatchNorm computes statistics of is padding. A ResNet's
    BatchNorm needs two values, so a single image has to be larger than a cell.
    """
    cell = min(model.pad_divisor(size), 32)
    backbone: Any = getattr(model, 'backbone', None)
    strides = getattr(backbone, 'strides', ())  # of a ResNet's stages; its stem's is 4
    if images > 1 or not strides or not any(isinstance(m, BatchNorm2d) for m in backbone.modules()):
        return cell
    return max(cell, 4 * math.prod(strides[1:]) + 1)


def _own_samples(samples: Any) -> Any:
    """Copy data samples, their tensors shared, since some heads replace their fields."""
    if isinstance(samples, (list, tuple)):
        return [_own_samples(sample) for sample in samples]
    if not isinstance(samples, BaseDataElement):
        return samples
    copy = samples.clone()
    for name, value in samples.items():
        if isinstance(value, BaseDataElement):
            setattr(copy, name, value.clone())
    return copy


def _require_finite(results: list[dict], optim_wrapper: OptimWrapper, batch: dict) -> None:
    """Raise before the optimizer steps if the loss of a pass is not a number.

    All passes of all processes are checked at once, which makes a GPU wait once a step; where
    one process stops, all do.
    """
    finite = torch.stack([result['loss'] for result in results]).isfinite()
    everywhere = finite.int()
    all_reduce(everywhere, 'min')
    if everywhere.all():
        return
    optim_wrapper.zero_grad()
    if finite.all():
        raise ConfigError(
            'the loss of a pass is not finite on another process, whose message says more; '
            f'{UNTOUCHED}'
        )
    index = finite.tolist().index(False)
    result = results[index]
    terms = {key: float(value) for key, value in result.items() if isinstance(value, Tensor)}
    what = 'the full network, width 1.0, scale 1.0'
    if index:
        depth = f' and depth {result["depth"]:.4g}' if 'depth' in result else ''
        what = f'a sub-network of width {result["width"]:.4g}{depth} at scale {result["scale"]:.4g}'
    samples = batch.get('data_samples')
    samples = samples if isinstance(samples, (list, tuple)) else ()
    is_half = isinstance(optim_wrapper, AmpOptimWrapper)
    paths = [s.img_path for s in samples if isinstance(s, BaseDataElement) and 'img_path' in s]
    raise ConfigError(
        f'the loss of pass {index} ({what}) is {terms["loss"]}, expected a finite number '
        f'({", ".join(f"{key}={value:.4g}" for key, value in terms.items())}). {UNTOUCHED}. Lower '
        "the learning rate, clip gradients (optim_wrapper.clip_grad), or check this batch's labels"
        + '; it may be too large for half precision (--amp)' * is_half
        + (f', of {listed(paths, 16)}' if paths else '')
    )


def _merge_logs(results: list[dict], weights: list[float], seconds: list[float]) -> dict[str, Any]:
    """Return one flat dict: the full pass's own names, the total, and every pass's values."""
    full, *subnets = results
    losses = [weight * result['loss'] for weight, result in zip(weights, results, strict=True)]
    total = torch.stack(losses).sum()
    merged = {**full, 'loss': total, 'full/loss': full['loss'], 'full/seconds': seconds[0]}
    for index, result in enumerate(subnets, start=1):
        own = {**result, 'seconds': seconds[index]}
        merged |= {f'subnet{index}/{key}': value for key, value in own.items()}
    return merged


def _mark_time(on_gpu: bool) -> Any:
    """Return the time, or an event on the GPU's stream: where a pass ends and the next begins."""
    if not on_gpu:
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def _seconds(start: Any, end: Any) -> float:
    """Return the seconds between two marks; a GPU has to have reached them."""
    return end - start if isinstance(start, float) else start.elapsed_time(end) / 1000
