"""``resnet18_digits_gradaug.py`` with few shapes of convolutions, as the fast ImageNet config."""

_base_ = './resnet18_digits_gradaug.py'

model = dict(
    channels_last=True,
    backbone=dict(width_divisor=8),
    gradaug=dict(width_step=0.025),
)
