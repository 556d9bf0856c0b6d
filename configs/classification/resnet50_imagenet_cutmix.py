"""ResNet-50 on ImageNet with CutMix (Table 1), every batch, as its authors do on ImageNet.

They trained 300 epochs (Table 2), where the accuracy in Table 1 comes from.
"""

_base_ = ['./resnet50_imagenet.py', './_base_/methods/cutmix.py']

model = dict(data_preprocessor=dict(mix=dict(_base_.mix, prob=1.0)))
