"""ResNet-50 on ImageNet with DropPath (Table 1), as the DropBlock paper compares with it.

Its accuracy is the paper's, 77.10. There each branch of the last stage alone is kept with
probability 0.9 at the end of training, which falls linearly from 1 (Ghiasi et al., NeurIPS 2018,
section 4.1.1, read in a translation). For how many epochs is not confirmed: DropBlock itself was
trained for 270.
"""

_base_ = './resnet50_imagenet.py'

model = dict(
    backbone=dict(
        type='SlimmableResNet',  # at full width mmdet's bit by bit, and takes regularisers
        regulariser=dict(type='DropPath', survival=(1.0, 1.0, 1.0, 0.9), ramp=True),
    )
)
