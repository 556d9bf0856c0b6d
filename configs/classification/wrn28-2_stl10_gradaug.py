"""WideResNet-28-2 on 1000 labels of STL-10 with GradAug (Table 10), as it is on CIFAR-100.

The paper does not say its widths and scales here; these are those of its Table 3.
"""

_base_ = './wrn28-2_stl10.py'

model = dict(
    type='GradAugClassifier',
    backbone=dict(type='SlimmableWideResNet'),
    gradaug=dict(
        num_subnets=3,
        min_width=0.8,
        transform=dict(
            type='RandomScale',
            scales=[1.0, 28 / 32, 24 / 32],
            align_corners=True,  # as the authors' code
        ),
    ),
)
