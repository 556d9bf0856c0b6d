"""PyramidNet-200 on CIFAR-100 with Cutout: squares of 8 pixels."""

_base_ = ['./pyramidnet200_cifar100.py', './_base_/methods/cutout_cifar.py']

train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(_base_.cutout, fill=_base_.data_preprocessor.mean),
    dict(type='PackImage'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
