"""GradAug in every second iteration, for about half of its additional time. Not the paper's."""

_base_ = './wrn28-10_cifar100_gradaug.py'

model = dict(gradaug=dict(every=2))
