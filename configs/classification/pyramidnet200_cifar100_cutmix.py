"""PyramidNet-200 on CIFAR-100 with CutMix on half of the batches (Table 3)."""

_base_ = './pyramidnet200_cifar100.py'

model = dict(data_preprocessor=dict(mix=dict(type='CutMix', alpha=1.0, prob=0.5)))
