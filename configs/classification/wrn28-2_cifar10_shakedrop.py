"""WideResNet-28-2 on 4,000 labels of CIFAR-10 with ShakeDrop (Table 10), as it is on CIFAR-100."""

_base_ = ['./wrn28-2_cifar10.py', './_base_/methods/shakedrop.py']

model = dict(backbone=dict(regulariser=_base_.regulariser))
