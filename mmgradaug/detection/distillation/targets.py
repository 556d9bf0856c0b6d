"""Which targets each output of a sub-network is trained on, as configured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

MODES = {'off': (0.0, 0.0), 'soft': (1.0, 0.0), 'hard': (0.0, 1.0), 'both': (1.0, 1.0)}


@dataclass(frozen=True)
class Target:
    """Weights of an output's two losses.

    Attributes:
        soft: Weight of the loss against the full network's output.
        hard: Weight of the stock loss against the labels.
    """

    soft: float = 0.0
    hard: float = 0.0

    @classmethod
    def parse(cls, value: Any, name: str) -> Target:
        """Build from ``'soft'``, ``'hard'``, ``'both'``, ``'off'`` or ``dict(soft=, hard=)``.

        Raises:
            ValueError: If it is none of these, or a weight is negative.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, str) and value in MODES:
            return cls(*MODES[value])
        if isinstance(value, Mapping) and set(value) <= {'soft', 'hard'}:
            weights = value.values()
            if all(isinstance(w, (int, float)) and w >= 0 for w in weights):
                return cls(**value)
        raise ValueError(
            f'gradaug.distill.{name} must be one of {sorted(MODES)} or weights such as '
            f'dict(soft=0.5, hard=1.0), got {value!r}'
        )


PROBABILITY = Target(soft=0.5, hard=1.0)
BOX = Target(hard=1.0)


@dataclass(frozen=True)
class DistillConfig:
    """The config key ``gradaug.distill`` for heads that are distilled.

    Probabilities are trained hard, and soft at half the weight; box deltas hard: an output without
    bound that is trained soft alone can run away, because its teacher shares its weights.
    docs/DISTILLATION.md shows the measurements behind these defaults.

    Attributes:
        rpn_cls: Objectness of the region proposal network.
        rpn_bbox: Box deltas of the region proposal network.
        roi_cls: Class scores of RoIs.
        roi_bbox: Box deltas of RoIs.
        roi_mask: Mask logits of positive RoIs.
        dense_cls: Class scores of a single-stage head.
        dense_bbox: Boxes of a single-stage head, as it codes them.
        dense_quality: Centerness, IoU or objectness of a single-stage head.
        dense_dfl: Distributions over the distances to a box's sides (GFL).
        max_rois: RoIs an image that sub-networks learn from; None for all that the full
            network sampled.
        warmup_iters: Iterations over which the weights of soft losses rise from 0, since an
            untrained teacher has nothing to teach.
    """

    rpn_cls: Target = PROBABILITY
    rpn_bbox: Target = BOX
    roi_cls: Target = PROBABILITY
    roi_bbox: Target = BOX
    roi_mask: Target = PROBABILITY
    dense_cls: Target = PROBABILITY
    dense_bbox: Target = BOX
    dense_quality: Target = PROBABILITY
    dense_dfl: Target = PROBABILITY
    max_rois: int | None = None
    warmup_iters: int = 0

    @classmethod
    def parse(cls, cfg: Mapping[str, Any] | None) -> DistillConfig:
        """Build from a config dict; missing keys take their defaults.

        Raises:
            ValueError: If a key is unknown or a value is out of its range.
        """
        if not isinstance(cfg, Mapping | None):
            raise ValueError(
                f"gradaug.distill must be 'labels' or a dict of outputs, got {cfg!r}: for example "
                "dict(roi_cls='both')"
            )
        cfg = dict(cfg or {})
        names = [field.name for field in fields(cls)]
        unknown = sorted(set(cfg) - set(names))
        if unknown:
            raise ValueError(
                f'gradaug.distill has unknown keys {unknown}, expected some of {names}'
            )
        targets = [field.name for field in fields(cls) if isinstance(field.default, Target)]
        parsed: dict[str, Any] = {
            k: Target.parse(v, k) if k in targets else v for k, v in cfg.items()
        }
        config = cls(**parsed)
        config._check_counts()
        return config

    def _check_counts(self) -> None:
        """Raise on counts that make no sense."""
        if self.max_rois is not None and not _is_count(self.max_rois, 1):
            raise ValueError(
                f'gradaug.distill.max_rois must be None or >= 1, got {self.max_rois!r}'
            )
        if not _is_count(self.warmup_iters, 0):
            raise ValueError(
                f'gradaug.distill.warmup_iters must be >= 0, got {self.warmup_iters!r}'
            )

    def soft_ramp(self, iteration: int) -> float:
        """Factor of all soft losses at an iteration, from 0 up to 1."""
        return min(1.0, iteration / self.warmup_iters) if self.warmup_iters else 1.0


def ineffective(config: DistillConfig, given: Iterable[str], keys: Sequence[str]) -> list[str]:
    """Options of ``gradaug.distill`` that were given and that nothing in a detector follows.

    Args:
        config: The parsed options.
        given: Names of those that the config sets.
        keys: The outputs that the detector's heads have.

    Returns:
        Those, apart from what is switched off anyway.

    Raises:
        ValueError: If one is of a head that the detector does not have at all.
    """
    heads = {key.split('_')[0] for key in keys}
    of_head = {k: 'roi' if k == 'max_rois' else k.split('_')[0] for k in given if k not in keys}
    idle = [
        k for k in of_head if k != 'warmup_iters' and getattr(config, k) not in (None, Target())
    ]
    foreign = [key for key in idle if of_head[key] not in heads]
    if foreign:
        others = [*(['max_rois'] if 'roi' in heads else []), 'warmup_iters']
        raise ValueError(
            f'gradaug.distill has {", ".join(foreign)}, of heads that this detector does not have, '
            f'expected some of {", ".join([*keys, *others])}: remove or replace them'
        )
    return [key for key in idle if key != 'max_rois']


def _is_count(value: Any, least: int) -> bool:
    """Whether a value is a whole number of at least ``least``."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
