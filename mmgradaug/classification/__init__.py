"""GradAug for image classification: classifiers, data and accuracy."""

from .classifier import Classifier, GradAugClassifier
from .datasets import ClassFolders, TorchvisionImages
from .metrics import TopKAccuracy
from .preprocessor import BatchMix, ImagePreprocessor
from .transforms import Cutout, Lighting, PackImage, ToImageTensor
