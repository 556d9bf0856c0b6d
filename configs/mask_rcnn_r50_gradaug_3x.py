"""Mask R-CNN with GradAug on COCO, shorter side 640 to 800 pixels, 3x, 8 GPUs x 2 images.

Not an experiment of the paper.
"""

_base_ = [
    'mmdet::mask_rcnn/mask-rcnn_r50_fpn_ms-poly-3x_coco.py',
    './_base_/coco.py',
    './_base_/gradaug.py',
]

model = dict(
    type='GradAugDetector',
    detector='MaskRCNN',
    backbone=dict(
        type='SlimmableResNet',
        init_cfg=dict(type='Pretrained', checkpoint='pretrained/resnet50_gradaug.pth'),
    ),
    gradaug=_base_.gradaug,
)
