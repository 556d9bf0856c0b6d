"""ResNet-110 on CIFAR-100 with GradAug by random depth, as in the authors' released code."""

_base_ = ['./resnet110_cifar100_gradaug.py', './_base_/methods/released_depth.py']

model = dict(backbone=_base_.released.backbone)

max_epochs = _base_.released.max_epochs
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = dict(_delete_=True, **_base_.released.param_scheduler)
