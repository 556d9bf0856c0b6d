"""WideResNet-28-10 on CIFAR-100 with GradAug (Table 3): widths 0.8 to 1, images of 32, 28, 24."""

_base_ = './wrn28-10_cifar100.py'

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
