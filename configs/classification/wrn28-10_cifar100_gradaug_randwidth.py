"""Ablation (Table 4): narrower sub-networks only, on the original images."""

_base_ = './wrn28-10_cifar100_gradaug.py'

model = dict(gradaug=dict(transform=None))
