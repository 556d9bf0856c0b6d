"""Slimmable backbones: MMDetection's ResNets, and networks for small images."""

from .depth_resnet import DepthResNet, SlimmableDepthResNet
from .pyramidnet import PyramidNet, SlimmablePyramidNet
from .resnet import SlimmableResNet, SlimmableResNetV1d
from .resnext import SlimmableResNeXt
from .wide_resnet import SlimmableWideResNet, WideResNet
