"""ResNet-50 on ImageNet with DropBlock (Table 1), with its authors' numbers.

Blocks of 7 x 7 cells in the last two stages, after every convolution and on shortcuts; a tenth of
the last stage's values, a quarter of that in the stage before, both rising linearly from 0 (Ghiasi
et al., NeurIPS 2018, and the code of its authors in tensorflow/tpu). They trained 270 epochs
(Table 2), where the accuracy in Table 1 comes from; here it is the paper's 120, as for the other
rows.
"""

_base_ = './resnet50_imagenet.py'

model = dict(
    backbone=dict(
        type='SlimmableResNet',  # at full width mmdet's bit by bit, and takes regularisers
        regulariser=dict(type='DropBlock', drop=(0.0, 0.0, 0.025, 0.1), block_size=7, ramp=True),
    )
)
