"""ResNet-50 on ImageNet with ShakeDrop (Table 1)."""

_base_ = ['./resnet50_imagenet.py', './_base_/methods/shakedrop.py']

# The slimmable network, at full width mmdet's bit by bit, is the one that takes regularisers.
model = dict(backbone=dict(type='SlimmableResNet', regulariser=_base_.regulariser))
