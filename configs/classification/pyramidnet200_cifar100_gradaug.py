"""PyramidNet-200 on CIFAR-100 with GradAug (Table 3): widths 0.8 to 1, images of 32, 28, 24."""

_base_ = ['./pyramidnet200_cifar100.py', './_base_/methods/gradaug_cifar.py']

model = dict(
    type='GradAugClassifier', backbone=dict(type='SlimmablePyramidNet'), gradaug=_base_.gradaug
)
