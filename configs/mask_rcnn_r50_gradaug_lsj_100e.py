"""Mask R-CNN with GradAug on COCO, large-scale jitter at 1024 pixels, 100 epochs.

From random weights, as mmdet's own; SyncBN in backbone, neck and heads, all trained; two RPN and
four box convolutions.

Not an experiment of the paper.
"""

_base_ = [
    'mmdet::strong_baselines/mask-rcnn_r50_fpn_rpn-2conv_4conv1fc_syncbn-all_lsj-100e_coco.py',
    './_base_/coco.py',
    './_base_/gradaug.py',
]

model = dict(
    type='GradAugDetector',
    detector='MaskRCNN',
    backbone=dict(type='SlimmableResNet'),
    # mmdet has mmcv's MMSyncBN here, which sub-networks cannot use; for empty batches of torch's
    # under --amp see mmgradaug/training/ddp.py.
    roi_head=dict(
        bbox_head=dict(norm_cfg=dict(type='SyncBN')),
        mask_head=dict(norm_cfg=dict(type='SyncBN')),
    ),
    gradaug=_base_.gradaug,
)
