"""Generalized Focal Loss with GradAug on COCO, 1333 x 800 pixels, 1x, 8 GPUs x 2 images.

Not an experiment of the paper.
"""

_base_ = ['mmdet::gfl/gfl_r50_fpn_1x_coco.py', './_base_/coco.py', './_base_/gradaug.py']

model = dict(
    type='GradAugDetector',
    detector='GFL',
    backbone=dict(
        type='SlimmableResNet',
        init_cfg=dict(type='Pretrained', checkpoint='pretrained/resnet50_gradaug.pth'),
    ),
    gradaug=_base_.gradaug,
)
