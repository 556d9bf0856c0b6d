"""ResNet-50 on ImageNet with Mixup (Table 1)."""

_base_ = ['./resnet50_imagenet.py', './_base_/methods/mixup_imagenet.py']

model = dict(data_preprocessor=dict(mix=_base_.mix))
