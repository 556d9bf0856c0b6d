"""ResNet-110 on CIFAR-100: the baseline of the paper's Table 6."""

_base_ = ['./_base_/default.py', './_base_/cifar100.py', './_base_/resnet110.py']

model = dict(num_classes=100, data_preprocessor=_base_.data_preprocessor)
