"""Norm layers whose running statistics a sub-network pass could not leave alone."""

from __future__ import annotations

from mmcv.ops import SyncBatchNorm
from torch import nn


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
