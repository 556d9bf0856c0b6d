"""WideResNet-28-10 on CIFAR-100 with GradAug and CutMix on half of the batches (Table 3)."""

_base_ = './wrn28-10_cifar100_gradaug.py'

model = dict(data_preprocessor=dict(mix=dict(type='CutMix', alpha=1.0, prob=0.5)))
