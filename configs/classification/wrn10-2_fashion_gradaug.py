"""``wrn10-2_fashion.py`` with GradAug as the paper has it on CIFAR: nothing else differs."""

_base_ = './wrn10-2_fashion.py'

model = dict(
    type='GradAugClassifier',
    backbone=dict(type='SlimmableWideResNet'),
    gradaug=dict(
        num_subnets=3,
        min_width=0.8,
        transform=dict(type='RandomScale', scales=[1.0, 7 / 8, 3 / 4], align_corners=True),
        recompute_above=1,  # images are small: time counts, not memory
    ),
)
