"""Sandwich rule without transforms (Yu & Huang, ICCV 2019, "Universally slimmable networks").

Not the paper's. The full network, its first quarter and two widths between, which learn the full
network's output, all on the original images.
"""

_base_ = './wrn28-10_cifar100_gradaug.py'

model = dict(gradaug=dict(min_width=0.25, transform=None))
