"""ResNet-50 on ImageNet with stochastic depth (Table 1).

Probabilities of leaving a block out rise linearly to 0.5, which is what the authors of the paper
cited for it have for ResNet-110 on CIFAR (Huang et al. 2016, and its code); what anybody took for
ResNet-50 on ImageNet is not confirmed, and this paper does not say.
"""

_base_ = './resnet50_imagenet.py'

model = dict(
    backbone=dict(
        type='SlimmableResNet',  # at full width mmdet's bit by bit, and takes regularisers
        regulariser=dict(type='StochasticDepth', survival=0.5),
    )
)
