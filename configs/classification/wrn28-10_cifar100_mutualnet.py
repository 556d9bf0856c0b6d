"""MutualNet (Yang et al., ECCV 2020): GradAug's rule with widths from a quarter on.

Not the paper's. Scales are those of GradAug on CIFAR.
"""

_base_ = './wrn28-10_cifar100_gradaug.py'

model = dict(gradaug=dict(min_width=0.25))
