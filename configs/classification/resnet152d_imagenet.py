"""ResNet-152-D on ImageNet: the teacher of ``resnet50_imagenet_bagoftricks.py``.

The tricks without Mixup and a teacher, 120 epochs: the command that the authors of "Bag of tricks"
published for this network. Whether their teacher was that or the one they trained with Mixup is not
confirmed. Its last checkpoint belongs in pretrained/resnet152d_imagenet.pth.
"""

_base_ = ['./resnet50_imagenet.py', './_base_/methods/bagoftricks.py']

model = dict(
    backbone=dict(_base_.tricks.backbone, depth=152), label_smoothing=_base_.tricks.label_smoothing
)
optim_wrapper = dict(paramwise_cfg=_base_.tricks.paramwise_cfg)
param_scheduler = [
    _base_.tricks.warm_up,
    dict(_base_.tricks.cosine, T_max=_base_.max_epochs - 5, end=_base_.max_epochs),
]
