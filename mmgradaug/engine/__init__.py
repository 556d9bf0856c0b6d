"""Config in, Runner out: command lines, checks, safe loading, and hooks that lose nothing."""

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
