"""ResNet-110 on CIFAR-10: the baseline of the paper's Table 6."""

_base_ = ['./_base_/default.py', './_base_/cifar10.py', './_base_/resnet110.py']

model = dict(num_classes=10, data_preprocessor=_base_.data_preprocessor)
