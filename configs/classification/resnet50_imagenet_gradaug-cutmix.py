"""ResNet-50 on ImageNet with GradAug and CutMix on half of the batches (Table 1)."""

_base_ = ['./resnet50_imagenet_gradaug.py', './_base_/methods/cutmix.py']

model = dict(data_preprocessor=dict(mix=_base_.mix))
