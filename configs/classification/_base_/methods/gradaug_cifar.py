"""GradAug on CIFAR (section 4.2): widths 0.8 to 1, images of 32, 28 and 24 pixels."""

gradaug = dict(
    num_subnets=3,
    min_width=0.8,
    transform=dict(
        type='RandomScale',
        scales=[1.0, 28 / 32, 24 / 32],
        align_corners=True,  # as the authors' code
    ),
)
