"""Around a run: checks before it starts, and mmdet's own tools; hooks by which nothing is lost."""

from .bad_images import BadImagesHook
from .checkpoints import SafeCheckpointHook
from .final_and_best import FinalAndBestHook
from .pending_validation import PendingValidationHook
from .reproducible import ReproducibleHook
from .versions import VersionsHook

__all__ = [
    'BadImagesHook',
    'FinalAndBestHook',
    'PendingValidationHook',
    'ReproducibleHook',
    'SafeCheckpointHook',
    'VersionsHook',
]
