"""WideResNet-28-10 on CIFAR-100 with Mixup (Table 3)."""

_base_ = ['./wrn28-10_cifar100.py', './_base_/methods/mixup_cifar.py']

model = dict(data_preprocessor=dict(mix=_base_.mix))
