"""WideResNet-28-10 on CIFAR-100 with ShakeDrop (Table 3).

Residual branches end with a convolution here, as in the baseline; ShakeDrop's authors add a
BatchNorm, without which large weights may make training diverge (read in a summary of their paper
alone). This paper does not mention it."""

_base_ = ['./wrn28-10_cifar100.py', './_base_/methods/shakedrop.py']

model = dict(backbone=dict(regulariser=_base_.regulariser))
