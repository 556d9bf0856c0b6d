"""ResNet-50 on ImageNet with Mixup (Table 1), with its authors' alpha for ImageNet."""

_base_ = './resnet50_imagenet.py'

model = dict(data_preprocessor=dict(mix=dict(type='MixUp', alpha=0.2, prob=1.0)))
