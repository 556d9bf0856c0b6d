"""ResNet-50 on ImageNet with DropPath (Table 1), whose number is that of the DropBlock paper.

There each branch is kept with probability 0.9, at every depth and from the first iteration on.
"""

_base_ = './resnet50_imagenet.py'

model = dict(
    backbone=dict(
        type='SlimmableResNet',  # at full width mmdet's bit by bit, and takes regularisers
        regulariser=dict(type='DropPath', survival=0.9),
    )
)
