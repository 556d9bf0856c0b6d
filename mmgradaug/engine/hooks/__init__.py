"""Hooks of a run: it resumes bit by bit, its checkpoints are whole, and bad images are named."""

from .bad_images import BadImagesHook
from .checkpoint import SafeCheckpointHook
from .final_and_best import FinalAndBestHook
from .pending_validation import PendingValidationHook
from .pictures import AnyImageVisualizationHook
from .reproducible import ReproducibleHook
from .versions import VersionsHook
