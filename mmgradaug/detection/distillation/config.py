"""Which targets each output of a sub-network is trained on, as configured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from ...errors import ConfigError, suggestion

MODES = {'off': (0.0, 0.0), 'soft': (1.0, 0.0), 'hard': (0.0, 1.0), 'both': (1.0, 1.0)}


@dataclass(frozen=True)
class Target:
    """Weights of an output's two losses."""

    soft: float = 0.0  # against the full network's output
    hard: float = 0.0  # the stock loss, against the labels

    @classmethod
    def parse(cls, value: Any, name: str) -> Target:
        """Build from ``'soft'``, ``'hard'``, ``'both'``, ``'off'`` or ``dict(soft=, hard=)``."""
        if isinstance(value, str) and value in MODES:
            return cls(*MODES[value])
        weights = value if isinstance(value, Mapping) and set(value) <= {'soft', 'hard'} else {}
        if weights and all(isinstance(w, (int, float)) and w >= 0 for w in weights.values()):
            return cls(**weights)
        raise ConfigError(
            f'gradaug.distill.{name} must be one of {sorted(MODES)} or weights such as '
            f'dict(soft=0.5, hard=1.0), got {value!r}'
        )


LABELS = Target(hard=1.0)
PROBABILITIES = ('rpn_cls', 'roi_cls', 'roi_mask', 'dense_cls', 'dense_quality', 'dense_dfl')


@dataclass(frozen=True)
class DistillConfig:
    """The config key ``gradaug.distill`` for heads that are distilled.

    Every output is trained on labels; the key ``soft`` adds soft losses of that weight to all
    probabilities whose targets are not given. Box deltas stay hard: an output without bound that
    is trained soft alone can run away, because its teacher shares its weights.
    docs/DISTILLATION.md shows the measurements behind these defaults.
    """

    rpn_cls: Target = LABELS  # objectness of the region proposal network
    rpn_bbox: Target = LABELS  # its box deltas
    roi_cls: Target = LABELS  # class scores of RoIs
    roi_bbox: Target = LABELS  # box deltas of RoIs
    roi_mask: Target = LABELS  # mask logits of positive RoIs, and maps of semantic heads
    dense_cls: Target = LABELS  # class scores of a single-stage head
    dense_bbox: Target = LABELS  # its boxes, as it codes them
    dense_quality: Target = LABELS  # its centerness, IoU or objectness
    dense_dfl: Target = LABELS  # its distributions over the distances to a box's sides (GFL)
    max_rois: int | None = None  # that sub-networks learn from per image; None is all sampled ones
    # Iterations over which the weights of soft losses rise from 0, since an untrained teacher has
    # nothing to teach.
    warmup_iters: int = 0

    @classmethod
    def parse(cls, cfg: Mapping[str, Any] | None) -> DistillConfig:
        """Build from a config dict; missing keys take their defaults."""
        if not isinstance(cfg, Mapping | None):
            raise ConfigError(
                f"gradaug.distill must be 'labels' or a dict of outputs, got {cfg!r}: for example "
                "dict(soft=0.5) or dict(roi_cls='both')"
            )
        parsed = dict(cfg or {})
        soft = parsed.pop('soft', 0.0)
        if not isinstance(soft, (int, float)) or soft < 0:
            raise ConfigError(
                f'gradaug.distill.soft must be a weight, 0.5 for instance, got {soft!r}'
            )
        defaults = {field.name: field.default for field in fields(cls)}
        for key, value in parsed.items():
            if key not in defaults:
                raise ConfigError(
                    f'gradaug.distill has the unknown key {key!r}{suggestion(key, defaults)}, '
                    f'expected some of soft, {", ".join(defaults)}'
                )
            if isinstance(defaults[key], Target):
                parsed[key] = Target.parse(value, key)
            elif value != defaults[key] and not (type(value) is int and value >= 1):
                raise ConfigError(
                    f'gradaug.distill.{key} must be a whole number >= 1 or {defaults[key]}, got '
                    f'{value!r}'
                )
        return cls(**dict.fromkeys(PROBABILITIES, Target(soft, hard=1.0)) | parsed)

    def soft_ramp(self, iteration: int) -> float:
        """Return the factor of all soft losses at an iteration, from 0 to 1; before training 1."""
        rises = self.warmup_iters and iteration >= 0
        return min(1.0, iteration / self.warmup_iters) if rises else 1.0

    def require_heads(self, given: Iterable[str], outputs: Iterable[str]) -> None:
        """Raise if a key that a user gave is of none of the heads with these outputs."""
        known = {key.split('_')[0] for key in outputs} | {'soft', 'warmup'}
        for key in given:
            head = 'roi' if key == 'max_rois' else key.split('_')[0]
            if head not in known and getattr(self, key) not in (None, Target()):
                raise ConfigError(
                    f'gradaug.distill has {key}, of a head that this detector does not have, '
                    f'expected some of {", ".join(sorted(outputs))}: remove or replace it'
                )
