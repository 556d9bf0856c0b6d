"""Masked sub-model (MaskSub, Heo et al., CVPR 2025), from the paper's description.

Not GradAug's. One full-width copy learns the network's output with half of the patches masked, and
both losses count one half. Patches are 4 of 32 pixels, which is about 32 of 224.
"""

_base_ = './wrn28-10_cifar100_gradaug.py'

model = dict(
    gradaug=dict(
        num_subnets=1,
        min_width=1.0,
        weights=dict(full=0.5, subnets=0.5),
        transform=dict(_delete_=True, type='RandomMask', ratio=0.5, patch=4),
    )
)
