"""mmdet's Mask R-CNN with a backbone that was pretrained with GradAug."""

_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'

model = dict(
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='pretrained/resnet50_gradaug.pth')),
)
