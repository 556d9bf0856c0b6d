"""WideResNet-28-2 on 4,000 labels of CIFAR-10 with GradAug (Table 10), as it is on CIFAR-100.

The paper does not say its widths and scales here; these are those of its Table 3.
"""

_base_ = ['./wrn28-2_cifar10.py', './_base_/methods/gradaug_cifar.py']

model = dict(
    type='GradAugClassifier', backbone=dict(type='SlimmableWideResNet'), gradaug=_base_.gradaug
)
