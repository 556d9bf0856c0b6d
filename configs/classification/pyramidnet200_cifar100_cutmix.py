"""PyramidNet-200 on CIFAR-100 with CutMix on half of the batches (Table 3)."""

_base_ = ['./pyramidnet200_cifar100.py', './_base_/methods/cutmix.py']

model = dict(data_preprocessor=dict(mix=_base_.mix))
