"""GradAug (NeurIPS 2020) for MMDetection.

Importing the package registers its backbones, classifiers, detector wrapper, model wrapper, hooks
and metrics with mmengine, and loaders that read checkpoints as data; a config does so with
``custom_imports = dict(imports=['mmgradaug'])``.
"""

from . import mmdet_quietly as mmdet_quietly  # before anything else imports mmdet
from .backbones import (
    DepthResNet,
    PyramidNet,
    SlimmableDepthResNet,
    SlimmablePyramidNet,
    SlimmableResNet,
    SlimmableResNetV1d,
    SlimmableResNeXt,
    SlimmableWideResNet,
    WideResNet,
)
from .classification import Classifier, GradAugClassifier
from .detection import GradAugDetector
from .engine import coco_metric as coco_metric  # registers it
from .engine import hooks as hooks  # registers them
from .slimmable import at_depth, at_width, extract_subnet
from .training import GradAugDistributedDataParallel
from .version import __version__

__all__ = [
    'Classifier',
    'DepthResNet',
    'GradAugClassifier',
    'GradAugDetector',
    'GradAugDistributedDataParallel',
    'PyramidNet',
    'SlimmableDepthResNet',
    'SlimmablePyramidNet',
    'SlimmableResNeXt',
    'SlimmableResNet',
    'SlimmableResNetV1d',
    'SlimmableWideResNet',
    'WideResNet',
    '__version__',
    'at_depth',
    'at_width',
    'extract_subnet',
]
