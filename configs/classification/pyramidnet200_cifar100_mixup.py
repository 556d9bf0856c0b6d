"""PyramidNet-200 on CIFAR-100 with Mixup (Table 3), with its authors' alpha for CIFAR."""

_base_ = './pyramidnet200_cifar100.py'

model = dict(data_preprocessor=dict(mix=dict(type='MixUp', alpha=1.0, prob=1.0)))
