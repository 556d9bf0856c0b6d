"""ResNet-50 on ImageNet with GradAug and CutMix on half of the batches (Table 1)."""

_base_ = './resnet50_imagenet_gradaug.py'

model = dict(data_preprocessor=dict(mix=dict(type='CutMix', alpha=1.0, prob=0.5)))
