"""Norm layers that synchronise statistics between processes."""

from __future__ import annotations

from mmcv.ops import SyncBatchNorm
from torch import Tensor, nn


def refuse_mmcv_sync_norms(module: nn.Module) -> None:
    """Raise on mmcv's synchronised BatchNorm.

    It has neither narrow inputs nor a switch that keeps its running statistics.

    Raises:
        ValueError: With the layer's name and the remedy.
    """
    for name, layer in module.named_modules():
        if isinstance(layer, SyncBatchNorm):
            raise ValueError(
                f"{name} is mmcv's SyncBatchNorm, whose statistics sub-networks would change, "
                "expected torch's: use norm_cfg type 'SyncBN' instead of 'MMSyncBN', and "
                "sync_bn='torch' instead of 'mmcv'"
            )


def widen_empty_inputs(module: nn.Module) -> None:
    """Let torch's synchronised BatchNorms take empty batches in mixed precision.

    A process without positive RoIs sends zeros of its input's precision, float16 under autocast,
    while the others send float32 statistics: as many numbers and other bytes, which NCCL does not
    allow. An empty input in float32 makes both alike, in the forward and the backward pass.

    Args:
        module: The model, once all its BatchNorms are what they will be.
    """
    for layer in module.modules():
        if isinstance(layer, nn.SyncBatchNorm):
            layer.register_forward_pre_hook(_widened_if_empty)


def _widened_if_empty(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    """Of an input without elements, one of float32; None leaves it alone."""
    return None if inputs[0].numel() else (inputs[0].float(),)
