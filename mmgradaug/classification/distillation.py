"""Soft labels of a classifier: what sub-networks learn, and what a larger network teaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor

from ..errors import ConfigError

NAMED: dict[str, dict[str, float]] = {
    'soft': {},
    'labels': dict(soft=0.0, hard=1.0),
    'both': dict(soft=1.0, hard=1.0),
}


@dataclass(frozen=True)
class ClassDistillation:
    """Targets of sub-networks; the default is the paper's.

    Logits are divided by ``temperature`` before the divergence, which is multiplied by its square,
    so that gradients keep their size. ``unlabelled`` weighs the divergence on images without a
    label (``-1``), which the full network teaches and does not learn from (section 4.6): one
    number, or one for each sub-network, where 0 shows it none.
    """

    soft: float = 1.0  # weight of the divergence from the full network's output
    hard: float = 0.0  # weight of the loss on the labels
    temperature: float = 1.0
    unlabelled: float | Sequence[float] = 0.0

    @classmethod
    def parse(cls, distill: Any) -> ClassDistillation:
        """Build from ``gradaug.distill``: None, a name of :data:`NAMED`, or a dict of these."""
        options: Any = NAMED.get(distill) if isinstance(distill, str) else distill
        options = {} if distill is None else options
        names = [field.name for field in fields(cls)]
        valid = isinstance(options, Mapping) and all(
            name in names and isinstance(number, (int, float)) and number >= 0
            for name, value in options.items()
            for number in (
                value if name == 'unlabelled' and isinstance(value, Sequence) else [value]
            )
        )
        config = cls(**options) if valid else None
        if config is None or config.temperature == 0 or config.soft + config.hard == 0:
            raise ConfigError(
                f'gradaug.distill must be "soft", "labels", "both" or a dict of {names} with '
                f'numbers >= 0, not all weights 0 and temperature > 0, got {distill!r}'
            )
        return config

    def divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the KL divergence of the student's from the teacher's classes, a mean over images.

        It is zero, and so is its gradient, where logits (N, classes) are equal.
        """
        log_student, log_teacher = (
            F.log_softmax(logits.float() / self.temperature, dim=1) for logits in (student, teacher)
        )
        divergence = F.kl_div(log_student, log_teacher, reduction='batchmean', log_target=True)
        return self.temperature**2 * divergence


class FrozenTeacher:
    """A larger, trained classifier whose soft labels are learnt beside the true ones.

    "Bag of tricks" (He et al., CVPR 2019, section 5.3) distils so from a ResNet-152-D. It is no
    module: whoever holds it has no more parameters, buffers and keys than without, so optimizers,
    checkpoints, averages of weights and wrappers for several processes do not see it.

    Args:
        network: Config of a :class:`~mmgradaug.classification.Classifier`, of as many classes,
            with ``init_cfg=dict(type='Pretrained', checkpoint=...)``.
        temperature: Of the divergence, see :class:`ClassDistillation`.
        weight: Of the loss.
    """

    def __init__(
        self, network: Mapping[str, Any], temperature: float = 20.0, weight: float = 1.0
    ) -> None:
        self.checkpoint = network['init_cfg']['checkpoint']
        self.distillation = ClassDistillation(soft=weight, temperature=temperature)
        self.network = MODELS.build(dict(network)).requires_grad_(False).eval()

    @cached_property
    def trained(self) -> Any:
        """The network with its pretrained weights, which have to fit exactly."""
        state = CheckpointLoader.load_checkpoint(self.checkpoint, map_location='cpu')
        self.network.load_state_dict(state.get('state_dict', state))
        return self.network

    def loss(self, inputs: Tensor, logits: Tensor) -> Tensor:
        """Return the weighted divergence of logits (N, classes) of images (N, C, H, W)."""
        if self.trained.fc.weight.device != inputs.device:  # asking every layer takes milliseconds
            self.trained.to(inputs.device)
        with torch.no_grad():
            taught = self.trained.logits(inputs)
        return self.distillation.soft * self.distillation.divergence(logits, taught)

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenTeacher:
        """Share it with copies of its holder: nothing of it changes."""
        return self
