"""PyramidNet-200 on CIFAR-100 with CutMix and ShakeDrop (Table 3)."""

_base_ = ['./pyramidnet200_cifar100_cutmix.py', './_base_/methods/shakedrop.py']

model = dict(backbone=dict(regulariser=_base_.regulariser))
