"""Mean Teacher (Tarvainen and Valpola, NeurIPS 2017): a network learns from its weights' average.

Images need no labels for that: it is the semi-supervised comparison in the paper's Table 10.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.hooks import EMAHook
from mmengine.logging import MessageHub
from mmengine.registry import HOOKS, MODELS
from torch import Tensor

from .classifier import Classifier


@MODELS.register_module()
class MeanTeacherClassifier(Classifier):
    """A classifier that learns labels, and on every image what the average of its weights says.

    Training images come as two views, one for each of them, see
    :class:`~mmgradaug.classification.transforms.TwoViews`. The loss of consistency is the squared
    difference of their probabilities, a mean over images and classes. The average runs in
    training mode, as in the paper, and :class:`AveragedTeacherHook` keeps it.

    Args:
        consistency: Weight of that loss when it has risen.
        ramp_up: Iterations over which it rises, as exp(-5 (1 - t)^2) with t from 0 to 1.
        **kwargs: As :class:`Classifier`.
    """

    mean_teacher: tuple[Classifier]

    def __init__(
        self, *args: Any, consistency: float = 8.0, ramp_up: int = 200_000, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.consistency = consistency
        self.ramp_up = ramp_up

    def forward(self, inputs: Tensor, data_samples: Any = None, mode: str = 'tensor') -> Any:
        """Forward as :class:`Classifier`, with labels (N,) of which -1 is none.

        In mode ``'loss'`` images are (2 N, C, H, W), the student's views first.
        """
        if mode != 'loss':
            return super().forward(inputs, data_samples, mode)
        own, other = inputs.chunk(2)
        logits = self.logits(own)
        with torch.no_grad():
            taught = self.mean_teacher[0].logits(other)
        difference = F.mse_loss(logits.float().softmax(1), taught.float().softmax(1))
        iteration = MessageHub.get_current_instance().get_info('iter', 0)
        left = 1 - iteration / self.ramp_up if iteration < self.ramp_up else 0
        weight = self.consistency * math.exp(-5 * left**2)
        losses = self.losses(own, logits, data_samples)
        return {**losses, 'loss_consistency': weight * difference}


@HOOKS.register_module()
class AveragedTeacherHook(EMAHook):
    """mmengine's average of weights, which teaches a :class:`MeanTeacherClassifier`.

    As there, validation and checkpoints' ``state_dict`` have the averaged weights; ``momentum``
    is 1 - decay. mmdet's ``MeanTeacherHook`` is for its detectors that hold both networks.
    """

    def before_train(self, runner: Any) -> None:
        """Let the average teach."""
        super().before_train(runner)
        # In a tuple, it is no part of the network: not in its state dict or parameters.
        self.src_model.mean_teacher = (self.ema_model.module,)
