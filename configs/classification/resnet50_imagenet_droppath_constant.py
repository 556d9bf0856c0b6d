"""``resnet50_imagenet_droppath.py`` with one rate for all branches, from the first step on."""

_base_ = './resnet50_imagenet_droppath.py'

model = dict(backbone=dict(regulariser=dict(survival=0.9, ramp=False)))
