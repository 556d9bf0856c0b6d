"""ResNet-50 on ImageNet with GradAug and Mixup (GradAug* of the paper's Table 8)."""

_base_ = ['./resnet50_imagenet_gradaug.py', './_base_/methods/mixup_imagenet.py']

model = dict(data_preprocessor=dict(mix=_base_.mix))
