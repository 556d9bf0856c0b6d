"""ResNet-110 on CIFAR-100 with GradAug by random depth, as in the authors' released code.

Survival 0.8 of the last block and 1 of the first, evaluation with expected blocks, 200 epochs,
cosine.
"""

_base_ = './resnet110_cifar100_gradaug.py'

model = dict(backbone=dict(survival=0.8, keep_first=True, evaluation='expected'))

max_epochs = 200
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = dict(
    _delete_=True,
    type='CosineAnnealingLR',
    T_max=max_epochs,
    by_epoch=True,
    convert_to_iter_based=True,
)
