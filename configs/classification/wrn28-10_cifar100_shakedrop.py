"""WideResNet-28-10 on CIFAR-100 with ShakeDrop (Table 3).

Residual branches end with a convolution here, as in the baseline; ShakeDrop's authors add a
BatchNorm, which the paper does not mention."""

_base_ = ['./wrn28-10_cifar100.py', './_base_/methods/shakedrop.py']

model = dict(backbone=dict(regulariser=_base_.regulariser))
