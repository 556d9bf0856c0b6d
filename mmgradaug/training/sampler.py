"""Which sub-networks an iteration trains, and what each one sees."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

from ..slimmable import at_depth, at_width, check_width, draw_depth
from ..transforms import Transform, build_transform, crops_images, possible_turns

SHRINK = ('width', 'depth', 'both')
DEFAULT_TRANSFORM = {'type': 'RandomScale', 'scales': [1.0, 0.8, 0.6, 0.4]}


@dataclass(frozen=True)
class Subnet:
    """One sub-network pass.

    Attributes:
        width: Share of the channels it has.
        transform: What it sees.
        depth_seed: Draws the residual blocks it has; None is all of them.
    """

    width: float
    transform: Transform
    depth_seed: int | None = None

    def kept_blocks(self, model: nn.Module) -> tuple[bool, ...] | None:
        """Which of the model's residual blocks it has; None where depth is not drawn.

        Raises:
            ValueError: If depth is drawn and the model has no block that can be left out.
        """
        return None if self.depth_seed is None else draw_depth(model, self.depth_seed)

    @contextmanager
    def active_in(self, model: nn.Module) -> Iterator[None]:
        """Run the model as this sub-network; forward and backward belong inside."""
        kept = self.kept_blocks(model)
        with at_width(model, self.width):
            if kept is None:
                yield
                return
            with at_depth(model, kept):
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
            whole interval, so that their shapes are few. None is the paper's law.
        transform: Config of the transforms, see :func:`~mmgradaug.transforms.build_transform`;
            None shows sub-networks the original images.
        shrink: What sub-networks have less of: ``'width'``, channels; ``'depth'``, residual
            blocks, at full width (table 6 of the paper); or ``'both'``. The survival
            probabilities of blocks are the backbone's.

    Raises:
        ValueError: If a number is out of its range; the message names it.
    """

    def __init__(
        self,
        num_subnets: int = 3,
        min_width: float = 0.9,
        force_min_width: bool | None = None,
        width_step: float | None = None,
        transform: Any = DEFAULT_TRANSFORM,
        shrink: str = 'width',
    ) -> None:
        if isinstance(num_subnets, bool) or not isinstance(num_subnets, int) or num_subnets < 0:
            raise ValueError(
                f'gradaug.num_subnets must be a whole number >= 0, got {num_subnets!r}: the paper '
                'trains 3; 0 is plain training'
            )
        if width_step is not None and not (isinstance(width_step, float) and 0 < width_step < 1):
            raise ValueError(
                f'gradaug.width_step must be None or in (0, 1), got {width_step!r}: for '
                'example 0.02'
            )
        if force_min_width not in (None, True, False):
            raise ValueError(
                f'gradaug.force_min_width must be None, True or False, got {force_min_width!r}'
            )
        if shrink not in SHRINK:
            raise ValueError(f'gradaug.shrink must be one of {SHRINK}, got {shrink!r}')
        min_width = _checked_min_width(min_width)
        if width_step is not None and width_step > 1 - min_width + 1e-9:
            raise ValueError(
                f'gradaug.width_step={width_step} leaves no width but min_width={min_width}, '
                f'expected at most {1 - min_width:.4g}; None draws any width'
            )
        self.num_subnets = num_subnets
        self.min_width = 1.0 if shrink == 'depth' else min_width
        self.force_min_width = num_subnets > 1 if force_min_width is None else force_min_width
        self.width_step = None if shrink == 'depth' else width_step
        self.shrink = shrink
        self.transform = build_transform(transform)

    @property
    def turns(self) -> frozenset[int]:
        """Quarter turns that the images of sub-networks may make."""
        return possible_turns(self.transform) if self.num_subnets else frozenset()

    @property
    def crops(self) -> bool:
        """Whether sub-networks see a part of each image only."""
        return bool(self.num_subnets) and crops_images(self.transform)

    def sample(self, seed: int, iteration: int) -> list[Subnet]:
        """Draw the sub-networks of an iteration, in the order they are trained."""
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
        """One width, uniform on [min_width, 1] or on its grid."""
        if self.width_step is None:
            return generator.uniform(self.min_width, 1.0)
        steps = int((1.0 - self.min_width) / self.width_step + 1e-9)
        return round(self.min_width + generator.randint(0, steps) * self.width_step, 6)


def _checked_min_width(width: Any) -> float:
    """Return a valid ``gradaug.min_width``."""
    try:
        return check_width(width)
    except ValueError as error:
        raise ValueError(f'gradaug.min_width: {error}') from error
