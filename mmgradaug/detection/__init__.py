"""GradAug for MMDetection's detectors: the wrapper, and what sub-networks learn from."""

from .detector import GradAugDetector
