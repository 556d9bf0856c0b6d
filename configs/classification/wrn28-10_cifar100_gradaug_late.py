"""GradAug in the second half of the run alone, as late dropout (Liu et al., ICML 2023).

Not the paper's.
"""

_base_ = './wrn28-10_cifar100_gradaug.py'

model = dict(gradaug=dict(active=(0.5, 1.0)))
