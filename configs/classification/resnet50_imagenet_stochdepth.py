"""ResNet-50 on ImageNet with stochastic depth (Table 1).

Probabilities of leaving a block out rise linearly to 0.5, as in the paper cited for it (Huang et
al. 2016); this paper does not say which it took.
"""

_base_ = './resnet50_imagenet.py'

model = dict(
    backbone=dict(
        type='SlimmableResNet',  # at full width mmdet's bit by bit, and takes regularisers
        regulariser=dict(type='StochasticDepth', survival=0.5),
    )
)
