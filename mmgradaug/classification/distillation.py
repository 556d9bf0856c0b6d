"""What a classifier's sub-networks learn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ..errors import ConfigError

NAMED: dict[str, dict[str, float]] = {
    'soft': {},
    'labels': dict(soft=0.0, hard=1.0),
    'hard': dict(soft=0.0, hard=1.0),
    'both': dict(soft=1.0, hard=1.0),
}


@dataclass(frozen=True)
class ClassDistillation:
    """Targets of sub-networks; the default is the paper's.

    Attributes:
        soft: Weight of the divergence from the full network's output.
        hard: Weight of the loss on the labels.
        temperature: Logits are divided by it before the divergence, which is multiplied by its
            square, so that gradients keep their size.
    """

    soft: float = 1.0
    hard: float = 0.0
    temperature: float = 1.0

    @classmethod
    def parse(cls, distill: Any) -> ClassDistillation:
        """Build from the config key ``gradaug.distill``.

        Args:
            distill: None or ``'soft'``, ``'labels'`` (or ``'hard'``), ``'both'``, or a dict of
                ``soft``, ``hard`` and ``temperature``.

        Raises:
            ConfigError: If it is something else, or if sub-networks would learn nothing.
        """
        options: Any = NAMED.get(distill) if isinstance(distill, str) else distill
        options = {} if distill is None else options
        names = [field.name for field in fields(cls)]
        valid = isinstance(options, Mapping) and all(
            name in names and isinstance(value, (int, float)) and value >= 0
            for name, value in options.items()
        )
        config = cls(**options) if valid else cls(soft=0.0)
        if config.temperature == 0 or config.soft + config.hard == 0:
            raise ConfigError(
                f'gradaug.distill must be "soft", "labels", "both" or a dict of {names} with '
                f'numbers >= 0, not all weights 0 and temperature > 0, got {distill!r}'
            )
        return config

    def divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the KL divergence of the student's from the teacher's classes, a mean over images.

        It is zero, and so is its gradient, where logits are equal.

        Args:
            student: Logits (N, classes).
            teacher: Logits (N, classes), without gradient.
        """
        log_student, log_teacher = (
            F.log_softmax(logits.float() / self.temperature, dim=1) for logits in (student, teacher)
        )
        divergence = F.kl_div(log_student, log_teacher, reduction='batchmean', log_target=True)
        return self.temperature**2 * divergence
