"""The GradAug training step for a model on several processes."""

from typing import Any

from mmcv.ops import SyncBatchNorm
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.registry import MODEL_WRAPPERS
from torch import nn

from ..errors import ConfigError
from .step import gradaug_step


@MODEL_WRAPPERS.register_module()
class GradAugDistributedDataParallel(MMDistributedDataParallel):
    """``MMDistributedDataParallel`` that trains sub-networks too.

    mmengine's own wrapper computes the plain loss itself and never calls the model's
    ``train_step``. Gradients are reduced once a step, during the last pass, so as many bytes
    are sent as in plain training. What is reduced is the mean over processes of each one's own
    gradient, summed over its passes: plain training's rule.

    Args:
        module: A model with :class:`~mmgradaug.training.GradAugMixin`, on a GPU or the CPU.
        broadcast_buffers: Whether a step begins with the first process's BatchNorm statistics.
            As in mmdet's default, each process keeps its own.
        **kwargs: As ``MMDistributedDataParallel``.

    Raises:
        ConfigError: If a layer synchronises BatchNorm in a way that sub-networks cannot use.
    """

    def __init__(self, module: Any, broadcast_buffers: bool = False, **kwargs: Any) -> None:
        if module.sampler.num_subnets:
            require_usable_norms(module)
        widen_empty_inputs(module)
        if all(parameter.device.type == 'cpu' for parameter in module.parameters()):
            kwargs['device_ids'] = None  # mmengine names a GPU by the local rank, there or not
        super().__init__(module=module, broadcast_buffers=broadcast_buffers, **kwargs)

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Any]:
        """Train on this process's share of a batch; see :func:`gradaug_step`."""
        if not self.module.sampler.num_subnets:
            return super().train_step(data, optim_wrapper)
        return gradaug_step(self, data, optim_wrapper)


def require_usable_norms(module: nn.Module) -> None:
    """Raise on synchronised BatchNorm that sub-networks cannot run.

    mmengine converts BatchNorm for several processes before it wraps the model. What torch's
    layer replaced becomes slimmable again; mmcv's has neither narrow inputs nor a switch that
    keeps its running statistics.
    """
    for name, layer in module.named_modules():
        if isinstance(layer, SyncBatchNorm):
            raise ConfigError(
                f"{name} is mmcv's SyncBatchNorm, whose statistics sub-networks would change, "
                "expected torch's: use norm_cfg type 'SyncBN' instead of 'MMSyncBN', and "
                "sync_bn='torch' instead of 'mmcv'"
            )


def widen_empty_inputs(module: nn.Module) -> None:
    """Let torch's synchronised BatchNorms take empty batches in mixed precision.

    A process without positive RoIs sends zeros of its input's precision, float16 under autocast,
    while the others send float32 statistics: as many numbers and other bytes, which NCCL does not
    allow. An empty input in float32 makes both alike, in the forward and the backward pass.
    """
    for layer in module.modules():
        if isinstance(layer, nn.SyncBatchNorm):
            layer.register_forward_pre_hook(
                lambda _, inputs: None if inputs[0].numel() else (inputs[0].float(),)
            )
