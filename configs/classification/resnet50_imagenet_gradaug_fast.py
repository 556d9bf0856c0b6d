"""``resnet50_imagenet_gradaug.py`` with few shapes of convolutions.

Widths are of a grid of 9, channels multiples of 8, and lie next to each other in memory. Libraries
build or tune a kernel for every new shape; `tools/benchmark.py` times both.
"""

_base_ = './resnet50_imagenet_gradaug.py'

model = dict(
    channels_last=True,
    backbone=dict(width_divisor=8),
    gradaug=dict(width_step=0.0125),
)
