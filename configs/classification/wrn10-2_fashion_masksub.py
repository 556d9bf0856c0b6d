"""``wrn10-2_fashion.py`` as a masked sub-model, see ``wrn28-10_cifar100_masksub.py``."""

_base_ = './wrn10-2_fashion_gradaug.py'

model = dict(
    gradaug=dict(
        num_subnets=1,
        min_width=1.0,
        weights=dict(full=0.5, subnets=0.5),
        transform=dict(_delete_=True, type='RandomMask', ratio=0.5, patch=4),
    )
)
