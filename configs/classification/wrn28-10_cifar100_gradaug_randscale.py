"""Ablation (Table 4): scaled images only, no narrower sub-networks."""

_base_ = './wrn28-10_cifar100_gradaug.py'

model = dict(gradaug=dict(min_width=1.0))
