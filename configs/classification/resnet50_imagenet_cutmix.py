"""ResNet-50 on ImageNet with CutMix (Table 1), every batch, as its authors do on ImageNet."""

_base_ = './resnet50_imagenet.py'

model = dict(data_preprocessor=dict(mix=dict(type='CutMix', alpha=1.0, prob=1.0)))
