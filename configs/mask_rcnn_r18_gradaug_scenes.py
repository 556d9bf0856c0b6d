"""``mask_rcnn_r18_scenes.py`` with GradAug switched on: nothing else differs."""

_base_ = ['./mask_rcnn_r18_scenes.py', './_base_/gradaug_small.py']

model = dict(
    type='GradAugDetector',
    detector='MaskRCNN',
    backbone=dict(type='SlimmableResNet'),
    gradaug=_base_.gradaug,
)
