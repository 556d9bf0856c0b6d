"""ResNet-50 on ImageNet with GradAug (Table 1): 3 sub-networks, widths 0.9 to 1, 4 scales."""

_base_ = './resnet50_imagenet.py'

model = dict(
    type='GradAugClassifier',
    backbone=dict(type='SlimmableResNet'),
    gradaug=dict(
        num_subnets=3,
        min_width=0.9,
        transform=dict(
            type='RandomScale',
            scales=[1.0, 192 / 224, 160 / 224, 128 / 224],
            align_corners=True,  # as the authors' code
        ),
    ),
)
