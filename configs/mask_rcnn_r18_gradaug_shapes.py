"""``mask_rcnn_r18_shapes.py`` with GradAug switched on: nothing else differs."""

_base_ = './mask_rcnn_r18_shapes.py'

custom_imports = dict(imports=['mmgradaug'], allow_failed_imports=False)

model = dict(
    type='GradAugDetector',
    detector='MaskRCNN',
    backbone=dict(type='SlimmableResNet'),
    gradaug=dict(
        num_subnets=2,
        min_width=0.8,
        transform=dict(type='RandomScale', scales=[1.0, 0.8, 0.6]),
    ),
)
