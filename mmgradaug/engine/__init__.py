"""Around a run: checks before it starts, and mmdet's own tools; hooks by which nothing is lost."""

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
