"""``resnet18_fashion.py`` with GradAug switched on: nothing else differs."""

_base_ = './resnet18_fashion.py'

model = dict(
    type='GradAugClassifier',
    backbone=dict(type='SlimmableResNet'),
    gradaug=dict(
        num_subnets=3,
        min_width=0.8,
        transform=dict(type='RandomScale', scales=[1.0, 5 / 6, 2 / 3], align_corners=True),
        recompute_above=1,  # images are small: time counts, not memory
    ),
)
