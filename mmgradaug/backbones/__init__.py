"""Slimmable backbones for MMDetection."""

from .resnet import SlimmableResNet, SlimmableResNetV1d

__all__ = ['SlimmableResNet', 'SlimmableResNetV1d']
