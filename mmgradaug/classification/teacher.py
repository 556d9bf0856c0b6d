"""A larger network whose soft labels a classifier learns beside the true ones.

"Bag of tricks" (He et al., CVPR 2019, section 5.3) distils so from a ResNet-152-D.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from mmengine.registry import MODELS
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor

from .distillation import ClassDistillation


class FrozenTeacher:
    """A trained classifier that stays as it is.

    No module: whoever holds it has no more parameters, buffers and keys than without, so
    optimizers, checkpoints, averages of weights and wrappers for several processes do not see it.

    Args:
        network: Config of a :class:`~mmgradaug.classification.Classifier`, of as many classes,
            with ``init_cfg=dict(type='Pretrained', checkpoint=...)``.
        temperature: Of the divergence, see :class:`~.distillation.ClassDistillation`.
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
        """Return the divergence of a student's classes from this network's, times its weight.

        Args:
            inputs: Normalised images (N, C, H, W), mixed ones too.
            logits: The student's of them (N, classes).
        """
        if self.trained.fc.weight.device != inputs.device:  # asking every layer takes milliseconds
            self.trained.to(inputs.device)
        with torch.no_grad():
            taught = self.trained.logits(inputs)
        return self.distillation.soft * self.distillation.divergence(logits, taught)

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenTeacher:
        """Share it with copies of its holder: nothing of it changes."""
        return self
