"""Mask R-CNN with GradAug on COCO, 1x, with a backbone whose SyncBN is trained from the stem up.

Not an experiment of the paper.
"""

_base_ = [
    'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
    './_base_/coco.py',
    './_base_/gradaug.py',
]

model = dict(
    type='GradAugDetector',
    detector='MaskRCNN',
    backbone=dict(
        type='SlimmableResNet',
        frozen_stages=-1,
        norm_eval=False,
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        init_cfg=dict(type='Pretrained', checkpoint='pretrained/resnet50_gradaug.pth'),
    ),
    gradaug=_base_.gradaug,
)
