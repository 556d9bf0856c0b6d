"""Which sub-networks an iteration trains, and what each one sees: the config key ``gradaug``."""

from __future__ import annotations

import inspect
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from torch import nn

from ..errors import ConfigError, suggestion
from ..slimmable import at_depth, at_width, check_width, draw_depth
from ..transforms import Transform, build_transform

SHRINK = ('width', 'depth', 'both')
WEIGHTS = {'full': 1.0, 'subnets': 1.0}
DEFAULT_TRANSFORM = {'type': 'RandomScale', 'scales': [1.0, 0.8, 0.6, 0.4]}

# Peak memory of Mask R-CNN at 320 x 512 without recomputation, as a multiple of plain training's:
# 1.21 at scale 1, up to 1.04 at scale 0.8 (0.64 of the pixels), 1.00 at scale 0.6 (0.36).
RECOMPUTE_ABOVE = 0.5


@dataclass(frozen=True)
class Subnet:
    """One sub-network pass."""

    width: float  # share of the channels it has
    transform: Transform  # what it sees
    depth_seed: int | None = None  # draws the residual blocks it has; None is all of them

    def kept_blocks(self, model: nn.Module) -> tuple[bool, ...] | None:
        """Return which of the model's residual blocks it has; None where depth is not drawn."""
        return None if self.depth_seed is None else draw_depth(model, self.depth_seed)

    @contextmanager
    def active_in(self, model: nn.Module) -> Iterator[None]:
        """Run the model as this sub-network; forward and backward belong inside."""
        kept = self.kept_blocks(model)
        shallow = nullcontext() if kept is None else at_depth(model, kept)
        with at_width(model, self.width), shallow:
            yield


class SubnetSampler:
    """Draws the sub-networks of an iteration (GradAug, algorithm 1).

    A draw depends on the seed and the iteration alone. So it is the same on every process,
    which keeps their load balanced, and the same after a resume, with nothing to send or save.

    Args:
        num_subnets: Sub-networks an iteration, ``n`` in the paper. 0 is plain training.
        min_width: Smallest width, alpha in the paper; 1.0 trains full-width copies only.
        force_min_width: Whether the first sub-network has the smallest width. None is the
            paper's rule: if there are more than one. True is the released code's: always.
        width_step: Draw widths from a grid of this step above ``min_width`` instead of the
            whole interval, so that their shapes are few. None is the paper's rule.
        transform: Config of the transforms, see :func:`~mmgradaug.transforms.build_transform`;
            None shows sub-networks the original images.
        shrink: What sub-networks have less of: ``'width'``, channels; ``'depth'``, residual
            blocks, at full width (table 6 of the paper); or ``'both'``. The survival
            probabilities of blocks are the backbone's.
        every: Iterations from one with sub-networks to the next, the first being one; those
            between are plain training's, bit by bit.
        active: Start and end of the part of the run that has sub-networks, as shares of its
            iterations, end excluded; ``(0.0, 0.5)`` is the first half. Others are plain, too.

    Raises:
        ConfigError: If an option is out of its range.
    """

    def __init__(
        self,
        num_subnets: int = 3,
        min_width: float = 0.9,
        force_min_width: bool | None = None,
        width_step: float | None = None,
        transform: Any = DEFAULT_TRANSFORM,
        shrink: str = 'width',
        every: int = 1,
        active: Sequence[float] = (0.0, 1.0),
    ) -> None:
        _require('num_subnets', num_subnets, _is_whole(num_subnets), 'a whole number >= 0')
        _require('shrink', shrink, shrink in SHRINK, f'one of {SHRINK}')
        is_switch = force_min_width in (None, True, False)
        _require('force_min_width', force_min_width, is_switch, 'None, True or False')
        min_width = check_width(min_width, 'gradaug.min_width')
        fits = width_step is None or (
            isinstance(width_step, float) and 0 < width_step <= 1 - min_width + 1e-9
        )
        largest = f'None, or above 0 and at most 1 - min_width = {1 - min_width:.4g}'
        _require('width_step', width_step, fits, largest)
        _require('every', every, _is_whole(every) and every > 0, 'a whole number >= 1')
        is_part = isinstance(active, Sequence) and len(active) == 2
        is_part = is_part and 0 <= active[0] < active[1] <= 1
        _require('active', active, is_part, 'start and end as shares of the run: (0.0, 0.5)')
        self.num_subnets = num_subnets
        self.min_width = 1.0 if shrink == 'depth' else min_width
        self.force_min_width = num_subnets > 1 if force_min_width is None else force_min_width
        self.width_step = None if shrink == 'depth' else width_step
        self.shrink = shrink
        self.transform = build_transform(transform)
        self.every, self.active = every, active

    def sample(self, seed: int, iteration: int, length: int | None = None) -> list[Subnet]:
        """Draw the sub-networks of an iteration, in the order they are trained.

        Those that ``every`` and ``active`` leave out have none; ``active`` needs the run's length.
        """
        start, end = self.active
        share = start if length is None else iteration / length
        if iteration % self.every or share < start or (share >= end and end < 1):
            return []
        # A string seed is hashed by value, so near-by iterations are unrelated streams.
        generator = random.Random(f'gradaug-{seed}-{iteration}')
        widths = [self._draw_width(generator) for _ in range(self.num_subnets)]
        if self.force_min_width and widths:
            widths[0] = self.min_width
        transforms = [self.transform.draw(generator) for _ in widths]
        # Drawn last, so that widths and transforms do not depend on whether depth is drawn.
        seeds = [None if self.shrink == 'width' else generator.getrandbits(64) for _ in widths]
        return [Subnet(*drawn) for drawn in zip(widths, transforms, seeds, strict=True)]

    def _draw_width(self, generator: random.Random) -> float:
        """Return a width, uniform on [min_width, 1] or on its grid."""
        if self.width_step is None:
            return generator.uniform(self.min_width, 1.0)
        steps = int((1.0 - self.min_width) / self.width_step + 1e-9)
        return round(self.min_width + generator.randint(0, steps) * self.width_step, 6)


@dataclass(frozen=True)
class GradAugOptions:
    """Options of the training step.

    Sub-network passes on more than the share ``recompute_above`` of the original images' pixels
    recompute activations, see :func:`~mmgradaug.training.recompute.recomputing`: 1 never does for
    rescaled copies, 0 always.
    """

    sampler: SubnetSampler  # draws the sub-networks of each iteration
    seed: int | None  # of the draws; None takes the runner's
    recompute_above: float
    weights: Mapping[str, float]  # factors of the losses of the full pass and of each sub-network

    @classmethod
    def parse(cls, gradaug: Mapping[str, Any] | None) -> GradAugOptions:
        """Build from the config key; raise a ConfigError that names a wrong option."""
        defaults = {'seed': None, 'recompute_above': RECOMPUTE_ABOVE, 'weights': WEIGHTS}
        options: dict[str, Any] = {**defaults, **(gradaug or {})}
        drawing = inspect.signature(SubnetSampler).parameters
        known = [*drawing, *defaults, 'distill']  # which is the model's
        for name in options:
            if name not in known:
                raise ConfigError(
                    f'gradaug.{name} is no option{suggestion(name, known)}, expected some of '
                    f'{", ".join(known)}'
                )
        sampler = SubnetSampler(**{k: options[k] for k in drawing if k in options})
        seed, share, given = (options[name] for name in defaults)
        is_seed = seed is None or _is_whole(seed)
        _require('seed', seed, is_seed, "None, the runner's, or a whole number >= 0")
        is_share = isinstance(share, (int, float)) and not isinstance(share, bool) and share >= 0
        _require('recompute_above', share, is_share, 'a share of the original pixels, such as 0.5')
        is_valid = isinstance(given, Mapping) and given.keys() <= WEIGHTS.keys()
        is_valid = is_valid and all(isinstance(w, (int, float)) and w >= 0 for w in given.values())
        _require('weights', given, is_valid, 'dict(full=..., subnets=...) of numbers >= 0')
        return cls(sampler, seed, float(share), {**WEIGHTS, **given})


def _require(name: str, value: object, is_valid: bool, expected: str) -> None:
    """Raise a ConfigError unless an option of ``gradaug`` is valid."""
    if not is_valid:
        raise ConfigError(f'gradaug.{name}={value!r}, expected {expected}')


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
