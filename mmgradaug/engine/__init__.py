"""Config in, Runner out: command lines, checks, safe loading, and hooks that lose nothing."""

from . import checkpoint_loading as checkpoint_loading  # its loaders take mmengine's place
from .hooks import (
    BadImagesHook,
    FinalAndBestHook,
    PendingValidationHook,
    ReproducibleHook,
    SafeCheckpointHook,
    VersionsHook,
)

__all__ = [
    'BadImagesHook',
    'FinalAndBestHook',
    'PendingValidationHook',
    'ReproducibleHook',
    'SafeCheckpointHook',
    'VersionsHook',
]
