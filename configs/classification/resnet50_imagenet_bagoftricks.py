"""ResNet-50-D on ImageNet with all of the bag of tricks (Table 1): also Mixup and a teacher.

200 epochs, as its authors train with Mixup, and a temperature of 20, the default of their code,
where the losses on labels and teacher weigh the same. The teacher is trained by
``resnet152d_imagenet.py``.
"""

_base_ = [
    './resnet50_imagenet.py',
    './_base_/methods/bagoftricks.py',
    './_base_/methods/mixup_imagenet.py',
]

model = dict(
    backbone=_base_.tricks.backbone,
    label_smoothing=_base_.tricks.label_smoothing,
    data_preprocessor=dict(mix=_base_.mix),
    teacher=dict(
        network=dict(
            type='Classifier',
            backbone=dict(type='ResNetV1d', depth=152, out_indices=(3,)),
            num_classes=_base_.model.num_classes,
            init_cfg=dict(type='Pretrained', checkpoint='pretrained/resnet152d_imagenet.pth'),
        ),
        temperature=20.0,
    ),
)
max_epochs = 200
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(paramwise_cfg=_base_.tricks.paramwise_cfg)
param_scheduler = [
    _base_.tricks.warm_up,
    dict(_base_.tricks.cosine, T_max=max_epochs - 5, end=max_epochs),
]
