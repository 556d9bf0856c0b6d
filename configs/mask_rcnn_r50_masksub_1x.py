"""Masked sub-model (MaskSub, Heo et al., CVPR 2025) in detection. Not the paper's.

One full-width copy on images with half of their patches of 32 pixels masked; both passes' losses
count one half. MaskSub is a method for classifiers: what the copy learns here is GradAug's choice.
"""

_base_ = './mask_rcnn_r50_gradaug_1x.py'

masked = dict(_delete_=True, type='RandomMask', ratio=0.5, patch=32)
half = dict(full=0.5, subnets=0.5)
model = dict(gradaug=dict(num_subnets=1, min_width=1.0, weights=half, transform=masked))
