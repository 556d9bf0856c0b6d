"""ResNet-50 on ImageNet with ShakeDrop (Table 1).

Blocks of ResNet-50 end with a ReLU; for such networks ShakeDrop's authors have no alpha, that is
0, in the forward pass, and beta from 0 to 1 in the backward pass (Yamada et al. 2019, read in
a summary alone). Their survival on ImageNet is not confirmed: 0.5 is that of CIFAR.
"""

_base_ = ['./resnet50_imagenet.py', './_base_/methods/shakedrop.py']

# The slimmable network, at full width mmdet's bit by bit, is the one that takes regularisers.
model = dict(
    backbone=dict(type='SlimmableResNet', regulariser=dict(_base_.regulariser, alpha=(0.0, 0.0)))
)
