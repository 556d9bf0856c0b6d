"""ResNet-110 on CIFAR-100 with GradAug by random depth (Table 6), images of 32, 28, 24."""

_base_ = ['./resnet110_cifar100.py', './_base_/methods/gradaug_cifar.py']

model = dict(
    type='GradAugClassifier',
    backbone=dict(type='SlimmableDepthResNet', survival=0.5),
    gradaug=dict(num_subnets=3, shrink='depth', transform=_base_.gradaug.transform),
)
