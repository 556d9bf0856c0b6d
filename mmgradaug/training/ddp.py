"""The GradAug training step for a model on several processes."""

from __future__ import annotations

from typing import Any

from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.registry import MODEL_WRAPPERS
from torch import nn

from .step import gradaug_step


@MODEL_WRAPPERS.register_module()
class GradAugDistributedDataParallel(MMDistributedDataParallel):
    """``MMDistributedDataParallel`` that trains sub-networks too.

    mmengine's own wrapper computes the plain loss itself and never calls the model's
    ``train_step``. Gradients are reduced once a step, during the last pass.
    """

    def __init__(self, module: nn.Module, broadcast_buffers: bool = False, **kwargs: Any) -> None:
        # As mmdet's own default: each process keeps its statistics, nothing is sent forward.
        super().__init__(module=module, broadcast_buffers=broadcast_buffers, **kwargs)

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Any]:
        """Train on this process's share of a batch; see :func:`gradaug_step`."""
        if not self.module.sampler.num_subnets:
            return super().train_step(data, optim_wrapper)
        return gradaug_step(self, data, optim_wrapper)
