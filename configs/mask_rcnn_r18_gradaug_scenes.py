"""``mask_rcnn_r18_scenes.py`` with GradAug switched on: nothing else differs.

One sub-network, so that the study affords many runs.
"""

_base_ = ['./mask_rcnn_r18_scenes.py', './_base_/gradaug_small.py']

model = dict(
    type='GradAugDetector',
    detector='MaskRCNN',
    backbone=dict(type='SlimmableResNet'),
    # Labels alone: the default, named here so that records tell what they are of.
    gradaug=dict(_base_.gradaug, num_subnets=1, distill=dict(soft=0.0)),
)
