"""GradAug in the first half of the run alone, as early dropout (Liu et al., ICML 2023).

Not the paper's.
"""

_base_ = './wrn28-10_cifar100_gradaug.py'

model = dict(gradaug=dict(active=(0.0, 0.5)))
