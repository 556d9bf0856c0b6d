"""FLOPs, time and peak memory of training steps, measured in turn on the same batch."""

from __future__ import annotations

import copy
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from inspect import unwrap
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, DictAction
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import MODELS, init_default_scope
from rich.progress import track
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from ..type_names import type_name
from .random_batch import stand_in_for_runner

PLAIN = 'plain'
LEARNING_RATE = 1e-6  # the weights hardly move, so every round computes alike


@dataclass
class StepCost:
    """Cost of one kind of training step."""

    name: str
    train_flops: float = 0.0  # of a step, forward and backward; mean of the measured rounds
    predict_flops: float = 0.0  # of the batch's features in inference
    peak_bytes: int = 0  # most that tensors hold at a time, weights and optimizer state included
    seconds: list[float] = field(default_factory=list)  # of each measured step
    passes: dict[str, list[float]] = field(default_factory=dict)  # seconds of each, by name

    def summary(self, plain: StepCost) -> dict[str, Any]:
        """Return what a step costs, its seconds as median and quartiles, and ratios to plain."""
        flops, memory = self.train_flops / plain.train_flops, self.peak_bytes / plain.peak_bytes
        # Of steps that ran side by side: their median is less noisy than a ratio of medians.
        times = [a / b for a, b in zip(self.seconds, plain.seconds, strict=True)]
        low, median, high = np.percentile(self.seconds, (25, 50, 75)).tolist()
        return {
            'GFLOPs': self.train_flops / 1e9,
            'seconds': median,
            'quartiles': [low, high],
            'peak_MB': self.peak_bytes / 1e6,
            'inference_GFLOPs': self.predict_flops / 1e9,
            'ratio': {'flops': flops, 'time': statistics.median(times), 'memory': memory},
        }


def build_models(cfg: Config, variants: Sequence[str] = ()) -> dict[str, nn.Module]:
    """Build the stock model, the same on the slimmable backbone, GradAug, and its variants.

    A variant is options of the model: ``'gradaug.width_step=0.025 backbone.width_divisor=8'``.
    The models are in training mode and start from the same random weights.
    """
    init_default_scope('mmdet')
    gradaug = copy.deepcopy(cfg.model)
    gradaug.backbone.pop('init_cfg', None)
    plain = copy.deepcopy(gradaug)
    plain.type = plain.pop('detector', 'Classifier')
    plain.pop('gradaug', None)
    stock = copy.deepcopy(plain)
    kind = type_name(stock.backbone.type)
    if kind.startswith('Slimmable'):
        stock.backbone.type = kind.removeprefix('Slimmable')
        stock.backbone.pop('width_divisor', None)
    if kind.startswith(('SlimmableResNet', 'SlimmableResNeXt')):  # mmdet's have none
        stock.backbone.pop('regulariser', None)
    models = {PLAIN: stock, f'{PLAIN}, slimmable backbone': plain, 'GradAug': gradaug}
    for options in variants:
        pairs = (option.partition('=') for option in options.split())
        varied = Config({'model': copy.deepcopy(gradaug)})
        parsed = {f'model.{key}': DictAction._parse_iterable(value) for key, _, value in pairs}
        varied.merge_from_dict(parsed)
        models[f'GradAug, {options}'] = varied.model
    return {name: _build(model) for name, model in models.items()}


def _build(model: Any) -> nn.Module:
    torch.manual_seed(0)
    built = MODELS.build(model)
    built.init_weights()
    return built.train()


def measure_costs(
    models: Mapping[str, nn.Module],
    data: Mapping[str, Any],
    device: str = 'cpu',
    rounds: int = 7,
    warmup: int = 1,
    memory_rounds: int | None = None,
    same_draws: bool = False,
    amp: bool = False,
) -> list[StepCost]:
    """Measure the training steps of models, those of :func:`build_models`.

    Each round runs every step once, so that a noisy machine disturbs all alike. FLOPs are
    averaged over the same draws of widths and scales that are timed.

    Args:
        models: Models by name.
        data: A batch as a data loader gives it.
        device: ``'cpu'`` or ``'cuda'``.
        rounds: Rounds that are measured.
        warmup: Rounds before them that are not.
        memory_rounds: Rounds of which the memory is measured, one more step each; None is all.
        same_draws: Whether warm-up draws the widths and scales that are measured afterwards, so
            that all shapes have been seen, as in a long run.
        amp: Whether to train in half precision, which mmengine does on GPUs alone.
    """
    stand_in_for_runner()
    steps = {name: _Steps(model, data, device, amp) for name, model in models.items()}
    costs = {name: StepCost(name) for name in steps}
    for number in track(range(-warmup, rounds), description='timing', transient=True):
        index = number % rounds if same_draws else number
        for name, cost in costs.items():
            log, seconds = timed(partial(steps[name].take, index), device)
            if number < 0:
                continue
            cost.seconds.append(seconds)
            for key, value in log.items():
                if key.endswith('/seconds'):
                    cost.passes.setdefault(key.removesuffix('/seconds'), []).append(float(value))
    for name, cost in track(costs.items(), description='counting', transient=True):
        step = steps[name]
        cost.predict_flops = step.predict_flops()
        # A plain step computes the same every time; GradAug's depends on the draw.
        draws = 1 if name.startswith(PLAIN) else rounds
        cost.train_flops = statistics.mean(count_flops(partial(step.take, i)) for i in range(draws))
        cost.peak_bytes = max(map(step.peak_bytes, range(min(draws, memory_rounds or draws))))
    return list(costs.values())


class _Steps:
    """Training steps of one model on one batch."""

    def __init__(self, model: nn.Module, data: Mapping, device: str, amp: bool = False) -> None:
        self.model: Any = model.to(device)
        self.data = data
        self.device = torch.device(device)
        parameters = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(parameters, lr=LEARNING_RATE, momentum=0.9)
        self.optim_wrapper = (AmpOptimWrapper if amp else OptimWrapper)(optimizer=optimizer)

    def take(self, index: int) -> dict[str, Any]:
        """Take step number ``index``: the same proposals, widths and scales each time."""
        torch.manual_seed(index)
        self.model.gradaug_iteration = index - 1  # the draw of widths depends on the iteration
        return self.model.train_step(copy.deepcopy(self.data), self.optim_wrapper)

    def predict_flops(self) -> float:
        """Return the FLOPs of the features in evaluation mode."""
        self.model.eval()
        with torch.no_grad():
            batch = self.model.data_preprocessor(copy.deepcopy(self.data), False)
            flops = count_flops(lambda: self.model.extract_feat(batch['inputs']))
        self.model.train()
        return flops

    def peak_bytes(self, index: int) -> int:
        """Return the most memory that tensors hold during step number ``index``, in bytes."""
        optimizer = self.optim_wrapper.optimizer
        tensors = [momentum for state in optimizer.state.values() for momentum in state.values()]
        tensors += self.model.state_dict().values()
        standing = sum(t.numel() * t.element_size() for t in tensors)
        if self.device.type != 'cuda':
            return standing + peak_allocation(lambda: self.take(index))
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)  # the other models are there, too
        self.take(index)
        return standing + torch.cuda.max_memory_allocated(self.device) - before


def timed(function: Callable[[], Any], device: torch.device | str) -> tuple[Any, float]:
    """Call a function; return what it returns and the seconds it took, on a GPU too."""
    is_cuda = torch.device(device).type == 'cuda'
    if is_cuda:
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    result = function()
    if is_cuda:
        torch.cuda.synchronize(device)
    return result, time.perf_counter() - start


def count_flops(function: Callable[[], Any]) -> float:
    """Return the FLOPs of a call: convolutions and matrix products, two for each multiply-add."""
    aten = torch.ops.aten
    formulas = {
        aten.convolution_backward: _convolution_backward,
        # What mmcv's deformable convolutions call, of which torch has none.
        aten.addmm_: unwrap(flop_registry[aten.addmm]),
    }
    with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        function()
    return float(counter.get_total_flops())


def _convolution_backward(*args: Any, out_shape: Any) -> int:
    """Return the FLOPs of a convolution's gradients.

    torch counts those of the weights as if there was one group.
    """
    formula = flop_registry[torch.ops.aten.convolution_backward]
    *rest, groups, (of_input, of_weight, of_bias) = args
    inputs = formula(*rest, groups, (of_input, False, of_bias), out_val=out_shape)
    weights = formula(*rest, groups, (False, of_weight, False), out_val=out_shape)
    return inputs + weights // groups


def peak_allocation(function: Callable[[], Any]) -> int:
    """Return the largest sum of live CPU allocations that a call makes, in bytes."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Warning: Profiler clears events')  # there is one cycle
        with torch.profiler.profile(activities=activities, profile_memory=True) as profiler:
            function()
    events = profiler.profiler.kineto_results.events()  # type: ignore[union-attr]
    memory = [event for event in events if event.name() == '[memory]']
    memory.sort(key=lambda event: event.start_ns())
    return max(accumulate((event.nbytes() for event in memory), initial=0))
