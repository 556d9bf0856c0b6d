"""Deformable DETR with GradAug on COCO, 50 epochs, 16 GPUs x 2 images.

Not an experiment of the paper.
"""

_base_ = [
    'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
    './_base_/coco.py',
    './_base_/gradaug.py',
]

model = dict(
    type='GradAugDetector',
    detector='DeformableDETR',
    backbone=dict(
        type='SlimmableResNet',
        init_cfg=dict(type='Pretrained', checkpoint='pretrained/resnet50_gradaug.pth'),
    ),
    gradaug=_base_.gradaug,
)
