"""ResNet-110 on CIFAR-100 with stochastic depth (Table 6), survival 0.5 of the last block."""

_base_ = './resnet110_cifar100.py'

model = dict(backbone=dict(survival=0.5, stochastic=True, evaluation='expected'))
