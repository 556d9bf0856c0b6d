"""FLOPs, time and peak memory of training steps, measured in turn on the same batch."""

from __future__ import annotations

import copy
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from rich.progress import track
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from ..backbones.image_channels import image_channels
from ..training.step import run_pass, running_as
from .cost_kinds import PLAIN, build_kinds, is_classifier, random_batch
from .timed import Timed

LEARNING_RATE = 1e-6  # the weights hardly move, so every round computes alike


@dataclass
class StepCost(Timed):
    """Cost of one kind of training step.

    Attributes:
        name: Which step.
        train_flops: Of a step, forward and backward, averaged over the measured rounds.
        predict_flops: Of the batch in inference: of a detector's backbone and neck, or of a
            classifier.
        peak_bytes: Largest memory that tensors held at a time during any of the measured
            rounds, weights and optimizer state included.
        seconds: Of each measured step.
        passes: Seconds of each pass by name, for each measured step.
    """

    name: str
    train_flops: float = 0.0
    predict_flops: float = 0.0
    peak_bytes: int = 0
    seconds: list[float] = field(default_factory=list)
    passes: dict[str, list[float]] = field(default_factory=dict)


def measure_costs(
    cfg: Config,
    size: tuple[int, int],
    images: int,
    rounds: int,
    warmup: int,
    device: str,
    variants: Sequence[str] = (),
    memory_rounds: int | None = None,
    same_draws: bool = False,
) -> list[StepCost]:
    """Measure the steps of a GradAug config and of its plain counterparts.

    Each round runs every kind of step once, so that a noisy machine disturbs all alike; FLOPs
    are averaged over the same draws of widths and scales that are timed.

    Args:
        cfg: Config with a ``GradAugDetector`` or a ``GradAugClassifier``.
        size: Height and width of the images in pixels.
        images: Images a batch.
        rounds: Rounds that are measured.
        warmup: Rounds before them that are not.
        device: ``'cpu'`` or ``'cuda'``.
        variants: Further GradAug steps, each as options of the model such as
            ``'gradaug.width_step=0.025 backbone.width_divisor=8'``.
        memory_rounds: Of how many rounds to measure the memory, which takes a step more of each;
            None is all.
        same_draws: Whether warm-up draws the widths and scales that are measured afterwards, in
            as many rounds as there are: what a long run pays whose shapes have all been seen,
            where other draws show what new shapes cost.

    Returns:
        Costs of the stock model's step, of the stock step with the slimmable backbone, of the
        GradAug step, of its variants, and of torchvision's ResNet where a classifier has one.
    """
    init_default_scope('mmdet')
    models = build_kinds(cfg, variants)
    channels = image_channels(cfg.model.backbone)
    data = random_batch(next(iter(models.values())), size, images, channels)
    # A teacher is shared by all copies of its model, so none of them can be without values.
    counted_dry = is_classifier(cfg) and not cfg.model.get('teacher')
    runner_of = _ClassifierRunner if counted_dry else _Runner
    kinds = {name: runner_of(model, data, device) for name, model in models.items()}
    costs = {name: StepCost(name) for name in kinds}
    for number in track(range(-warmup, rounds), description='timing', transient=True):
        index = number % rounds if same_draws else number
        for name, runner in kinds.items():
            runner.timed_step(index, costs[name] if number >= 0 else None)
    for name, runner in track(kinds.items(), description='counting', transient=True):
        costs[name].predict_flops = runner.predict_flops()
        # A plain step computes the same every time; GradAug's depends on the draw.
        draws = 1 if name.startswith(PLAIN) else rounds
        costs[name].train_flops = statistics.mean(runner.train_flops(i) for i in range(draws))
        some = draws if memory_rounds is None else min(draws, memory_rounds)
        costs[name].peak_bytes = max(runner.peak_bytes(i) for i in range(some))
    return list(costs.values())


class _Runner:
    """Takes steps of one model on one batch."""

    def __init__(self, model: nn.Module, data: dict[str, Any], device: str) -> None:
        self.model: Any = model.to(device)
        self.data = data
        self.device = torch.device(device)
        parameters = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(parameters, lr=LEARNING_RATE, momentum=0.9)
        self.optim_wrapper = OptimWrapper(optimizer)

    def step(self, index: int) -> dict[str, Any]:
        """Take step number ``index``: the same proposals, widths and scales each time."""
        torch.manual_seed(index)
        self.model.gradaug_iteration = index - 1  # the draw of widths depends on the iteration
        return self.model.train_step(copy.deepcopy(self.data), self.optim_wrapper)

    def timed_step(self, index: int, cost: StepCost | None) -> None:
        """Take a step and note its time, unless it only warms up."""
        self._synchronise()
        start = time.perf_counter()
        log = self.step(index)
        self._synchronise()
        if cost is None:
            return
        cost.seconds.append(time.perf_counter() - start)
        for key, value in log.items():
            if key.endswith('/seconds'):
                cost.passes.setdefault(key.removesuffix('/seconds'), []).append(float(value))

    def _synchronise(self) -> None:
        """Wait for a GPU to finish."""
        if self.device.type == 'cuda':
            torch.cuda.synchronize(self.device)

    def predict_flops(self) -> float:
        """FLOPs of features in evaluation mode."""
        with _evaluating(self.model), torch.no_grad():
            batch = self.model.data_preprocessor(copy.deepcopy(self.data), False)
            return count_flops(lambda: self.model.extract_feat(batch['inputs']))

    def train_flops(self, index: int) -> float:
        """FLOPs of step number ``index``."""
        return count_flops(lambda: self.step(index))

    def peak_bytes(self, index: int) -> int:
        """Most memory that tensors held during step number ``index``, in bytes.

        Not measured while FLOPs are counted: torch's counter holds tensors of its own.
        """
        standing = sum(_bytes(t) for t in self.model.state_dict().values())
        standing += sum(_bytes(t) for s in self.optim_wrapper.optimizer.state.values()
                        for t in s.values() if isinstance(t, torch.Tensor))  # fmt: skip
        if self.device.type != 'cuda':
            return standing + peak_allocation(lambda: self.step(index))
        # The other steps' models are on the GPU, too.
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        self.step(index)
        return standing + torch.cuda.max_memory_allocated(self.device) - before


class _ClassifierRunner(_Runner):
    """Counts FLOPs without computing: nothing in a classifier's step depends on values."""

    def __init__(self, model: nn.Module, data: dict[str, Any], device: str) -> None:
        super().__init__(model, data, device)
        self.ghost: Any = copy.deepcopy(model).to('meta')
        self.ghost_data = {name: value.to('meta') for name, value in data.items()}

    def predict_flops(self) -> float:
        """FLOPs of the logits in evaluation mode."""
        with _evaluating(self.ghost), torch.no_grad():
            inputs = self.ghost.data_preprocessor(self.ghost_data, False)['inputs']
            return count_flops(lambda: self.ghost(inputs))

    def train_flops(self, index: int) -> float:
        """FLOPs of step number ``index``."""
        return count_flops(lambda: self._all_passes(index))

    def _all_passes(self, index: int) -> None:
        """Forward and backward of every pass of a step, with the draws of the timed one."""
        torch.manual_seed(index)
        ghost = self.ghost
        batch = ghost.data_preprocessor(self.ghost_data, True)
        if not hasattr(ghost, 'sampler'):
            sum(ghost(**batch, mode='loss').values()).backward()
            return
        with ghost.teaching():
            for subnet in (None, *ghost.sampler.sample(ghost._draw_seed(), index)):
                with running_as(ghost, subnet):
                    losses, _ = run_pass(ghost, batch, subnet)
                    sum(v for k, v in losses.items() if 'loss' in k).backward()


def _bytes(tensor: torch.Tensor) -> int:
    """Memory of a tensor's entries."""
    return tensor.numel() * tensor.element_size()


def count_flops(function: Callable[[], Any]) -> float:
    """FLOPs of a call: convolutions and matrix products, two for each multiply-add."""
    formulas = {torch.ops.aten.convolution_backward: _convolution_backward}
    with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        function()
    return float(counter.get_total_flops())


def _convolution_backward(*args: Any, out_shape: Any) -> int:
    """FLOPs of a convolution's gradients; torch counts its weights' as if of one group."""
    formula = flop_registry[torch.ops.aten.convolution_backward]
    *rest, groups, (of_input, of_weight, of_bias) = args
    inputs = formula(*rest, groups, (of_input, False, of_bias), out_val=out_shape)
    weights = formula(*rest, groups, (False, of_weight, False), out_val=out_shape)
    return inputs + weights // groups


def peak_allocation(function: Callable[[], Any]) -> int:
    """Largest sum of live CPU allocations that a call makes, in bytes."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Warning: Profiler clears events')  # there is one cycle
        with torch.profiler.profile(activities=activities, profile_memory=True) as profiler:
            function()
    live = peak = 0
    events = profiler.profiler.kineto_results.events()  # type: ignore[union-attr]
    memory = [event for event in events if event.name() == '[memory]']
    for event in sorted(memory, key=lambda e: e.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return peak


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, then training mode again."""
    model.eval()
    try:
        yield
    finally:
        model.train()
