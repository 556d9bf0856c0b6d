"""A larger network whose soft labels a classifier learns beside the true ones.

"Bag of tricks" (He et al., CVPR 2019, section 5.3) distils so from a ResNet-152-D.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor

from ..backbones.pretrained import check_pretrained, pretrained_of, require_pretrained
from ..backbones.residual import require_positive
from .distillation import ClassDistillation


class LargerTeacher:
    """A trained classifier that stays as it is.

    No module: whoever holds it has no more parameters, buffers and keys than without, so
    optimizers, checkpoints, averages of weights and wrappers for several processes do not see it.

    Args:
        network: Config of a :class:`~mmgradaug.classification.Classifier`, of as many classes,
            with ``init_cfg=dict(type='Pretrained', checkpoint=...)``.
        temperature: Of the divergence, see :class:`~.distillation.ClassDistillation`.
        weight: Of the loss.

    Raises:
        ValueError: If a number is out of its range, or the network has no pretrained weights.
    """

    def __init__(
        self, network: Mapping[str, Any], temperature: float = 20.0, weight: float = 1.0
    ) -> None:
        self.pretrained = pretrained_of(network.get('init_cfg'))
        if self.pretrained is None:
            raise ValueError(
                f'model.teacher.network.init_cfg={network.get("init_cfg")!r}, expected '
                "dict(type='Pretrained', checkpoint=PATH): a teacher has to be trained before"
            )
        require_positive('model.teacher.temperature', temperature, 20)
        require_positive('model.teacher.weight', weight, 1)
        self.distillation = ClassDistillation(soft=weight, temperature=temperature)
        self.network = MODELS.build(dict(network)).requires_grad_(False).eval()
        self.is_loaded = False
        self.device: torch.device | None = None  # where the network was sent

    def load(self) -> None:
        """Read the pretrained weights.

        Raises:
            FileNotFoundError: If their file is missing.
            ValueError: If they do not fit the network.
        """
        if self.is_loaded:
            return
        assert self.pretrained is not None
        checkpoint, prefix = self.pretrained['checkpoint'], self.pretrained.get('prefix')
        require_pretrained(checkpoint, 'model.teacher.network.init_cfg.checkpoint')
        check_pretrained(self.network, checkpoint, prefix)
        self.network.init_weights()
        self.is_loaded = True

    def loss(self, inputs: Tensor, logits: Tensor) -> Tensor:
        """Divergence of a student's classes from this network's, times its weight.

        Args:
            inputs: Normalised images (N, C, H, W), mixed ones too.
            logits: The student's of them (N, classes).

        Raises:
            RuntimeError: If no weights have been loaded.
        """
        if not self.is_loaded:
            raise RuntimeError(
                'the teacher has random weights: call init_weights() of the classifier first, as '
                'the runner does'
            )
        if self.device != inputs.device:  # asking every module each time costs milliseconds
            self.device = inputs.device
            self.network.to(self.device)
        with torch.no_grad():
            taught = self.network.logits(inputs)
        return self.distillation.soft * self.distillation.divergence(logits, taught)

    def __deepcopy__(self, memo: dict[int, Any]) -> LargerTeacher:
        """Copies of its holder share it: nothing of it changes."""
        return self
