"""ResNet-50 on ImageNet with GradAug and Mixup (GradAug* of the paper's Table 8)."""

_base_ = './resnet50_imagenet_gradaug.py'

model = dict(data_preprocessor=dict(mix=dict(type='MixUp', alpha=0.2, prob=1.0)))
