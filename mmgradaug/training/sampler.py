"""Which sub-networks an iteration trains, and what each one sees."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from ..slimmable import check_width
from ..transforms import Transform, build_transform, possible_turns

DEFAULT_TRANSFORM = {'type': 'RandomScale', 'scales': [1.0, 0.8, 0.6, 0.4]}


@dataclass(frozen=True)
class Subnet:
    """One sub-network pass: a width and the transform of its images."""

    width: float
    transform: Transform


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
        min_width = _checked_min_width(min_width)
        if width_step is not None and width_step > 1 - min_width + 1e-9:
            raise ValueError(
                f'gradaug.width_step={width_step} leaves no width but min_width={min_width}, '
                f'expected at most {1 - min_width:.4g}; None draws any width'
            )
        self.num_subnets = num_subnets
        self.min_width = min_width
        self.force_min_width = num_subnets > 1 if force_min_width is None else force_min_width
        self.width_step = width_step
        self.transform = build_transform(transform)

    @property
    def turns(self) -> frozenset[int]:
        """Quarter turns that the images of sub-networks may make."""
        return possible_turns(self.transform) if self.num_subnets else frozenset()

    def sample(self, seed: int, iteration: int) -> list[Subnet]:
        """Draw the sub-networks of an iteration, in the order they are trained."""
        # A string seed is hashed by value, so near-by iterations are unrelated streams.
        generator = random.Random(f'gradaug-{seed}-{iteration}')
        widths = [self._draw_width(generator) for _ in range(self.num_subnets)]
        if self.force_min_width and widths:
            widths[0] = self.min_width
        return [Subnet(width, self.transform.draw(generator)) for width in widths]

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
