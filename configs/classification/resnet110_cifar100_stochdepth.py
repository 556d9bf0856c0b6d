"""ResNet-110 on CIFAR-100 with stochastic depth (Table 6), survival 0.5 of the last block."""

_base_ = ['./resnet110_cifar100.py', './_base_/methods/stochdepth.py']

model = dict(backbone=_base_.stochdepth)
