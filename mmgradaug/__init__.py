"""GradAug (NeurIPS 2020) for MMDetection.

Importing the package registers its backbones, detector wrapper and model wrapper with
mmengine; a config does so with ``custom_imports = dict(imports=['mmgradaug'])``.
"""

from .backbones import SlimmableResNet, SlimmableResNetV1d
from .detection import GradAugDetector
from .slimmable import at_width, extract_subnet
from .training import GradAugDistributedDataParallel
from .version import __version__

__all__ = [
    'GradAugDetector',
    'GradAugDistributedDataParallel',
    'SlimmableResNet',
    'SlimmableResNetV1d',
    '__version__',
    'at_width',
    'extract_subnet',
]
