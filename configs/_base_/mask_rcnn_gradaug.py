"""``mask_rcnn_pretrained.py`` trained with GradAug."""

_base_ = ['./mask_rcnn_pretrained.py', './gradaug.py']

model = dict(
    type='GradAugDetector',
    detector='MaskRCNN',
    backbone=dict(type='SlimmableResNet'),
    gradaug=_base_.gradaug,
)
