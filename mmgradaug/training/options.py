"""The config key ``gradaug``, but for what a kind of model adds to it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .sampler import SubnetSampler

# Peak memory of Mask R-CNN at 320 x 512 without recomputation, as a multiple of plain training's:
# 1.21 at scale 1, up to 1.04 at scale 0.8 (0.64 of the pixels), 1.00 at scale 0.6 (0.36).
RECOMPUTE_ABOVE = 0.5


@dataclass(frozen=True)
class GradAugOptions:
    """Options of the training step.

    Attributes:
        sampler: Draws the sub-networks of each iteration.
        seed: Seed of the draws; None takes the runner's.
        recompute_above: Sub-network passes on more than this share of the original images'
            pixels recompute activations; see :func:`~mmgradaug.training.recompute.recomputing`.
            1 never does for rescaled copies, 0 always.
    """

    sampler: SubnetSampler
    seed: int | None = None
    recompute_above: float = RECOMPUTE_ABOVE

    @classmethod
    def parse(
        cls, gradaug: Mapping[str, Any] | None, others: Iterable[str] = ('distill',)
    ) -> GradAugOptions:
        """Build from the config key; missing options take their defaults.

        Args:
            gradaug: The config key.
            others: Options in it that are not the training step's.

        Raises:
            ValueError: If an option is unknown or out of its range; the message names it.
        """
        if not isinstance(gradaug, Mapping | None):
            raise ValueError(f'gradaug must be a dict of options, got {gradaug!r}')
        options = {k: v for k, v in (gradaug or {}).items() if k not in others}
        drawing = list(inspect.signature(SubnetSampler.__init__).parameters)[1:]
        known = [*drawing, 'seed', 'recompute_above']
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise ValueError(
                f'gradaug has unknown options {unknown}, expected some of {[*known, *others]}'
            )
        return cls(
            SubnetSampler(**{k: v for k, v in options.items() if k in drawing}),
            _checked_seed(options.get('seed')),
            _checked_share(options.get('recompute_above', RECOMPUTE_ABOVE)),
        )


def _checked_seed(seed: Any) -> int | None:
    """Return a valid ``gradaug.seed``."""
    if seed is None or (isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0):
        return seed
    raise ValueError(
        f"gradaug.seed must be None or a whole number >= 0, got {seed!r}: None takes the runner's"
    )


def _checked_share(share: Any) -> float:
    """Return a valid ``gradaug.recompute_above``."""
    if isinstance(share, (int, float)) and not isinstance(share, bool) and share >= 0:
        return float(share)
    raise ValueError(
        f'gradaug.recompute_above must be a number >= 0, got {share!r}: a share of the original '
        'pixels; 1 never recomputes for smaller images'
    )
