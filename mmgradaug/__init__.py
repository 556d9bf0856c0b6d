"""GradAug (NeurIPS 2020) for MMDetection.

Importing the package registers its backbones, detector wrapper, model wrapper and hooks with
mmengine; a config does so with ``custom_imports = dict(imports=['mmgradaug'])``.
"""

from .backbones import SlimmableResNet, SlimmableResNetV1d
from .detection import GradAugDetector
from .engine import (
    BadImagesHook,
    PendingValidationHook,
    ReproducibleHook,
    SafeCheckpointHook,
    VersionsHook,
)
from .slimmable import at_width, extract_subnet
from .training import GradAugDistributedDataParallel
from .version import __version__

__all__ = [
    'BadImagesHook',
    'GradAugDetector',
    'GradAugDistributedDataParallel',
    'PendingValidationHook',
    'ReproducibleHook',
    'SafeCheckpointHook',
    'SlimmableResNet',
    'SlimmableResNetV1d',
    'VersionsHook',
    '__version__',
    'at_width',
    'extract_subnet',
]
