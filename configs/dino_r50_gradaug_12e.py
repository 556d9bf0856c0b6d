"""DINO with GradAug on COCO, four scales, 12 epochs, 8 GPUs x 2 images.

Not an experiment of the paper.
"""

_base_ = ['mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py', './_base_/coco.py', './_base_/gradaug.py']

model = dict(
    type='GradAugDetector',
    detector='DINO',
    backbone=dict(
        type='SlimmableResNet',
        init_cfg=dict(type='Pretrained', checkpoint='pretrained/resnet50_gradaug.pth'),
    ),
    gradaug=_base_.gradaug,
)
