"""RandScale at full width for GradAug's FLOPs: a fair opponent, as RS-Nets show. Not the paper's.

"Resolution switchable networks" (Wang et al., ECCV 2020) gain much by full-width copies on scaled
images alone. With images of 28, 24 and 20 pixels a step has 2.72 times the FLOPs of a plain one,
GradAug's 2.76, Table 4's RandScale 3.33. A full-width copy on images of 32 has nothing to learn.
"""

_base_ = './wrn28-10_cifar100_gradaug_randscale.py'

model = dict(gradaug=dict(transform=dict(scales=[28 / 32, 24 / 32, 20 / 32])))
