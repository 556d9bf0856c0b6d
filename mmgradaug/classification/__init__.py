"""GradAug for image classification: classifiers, data and accuracy."""

from .classifier import Classifier, GradAugClassifier
from .datasets import ClassFolders, LabelledAndUnlabelled, TorchvisionImages
from .mean_teacher import AveragedTeacherHook, MeanTeacherClassifier
from .metrics import TopKAccuracy
from .preprocessor import BatchMix, ImagePreprocessor
from .transforms import Cutout, Lighting, PackImage, ToImageTensor, TwoViews
