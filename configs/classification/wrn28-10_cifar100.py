"""WideResNet-28-10 on CIFAR-100: the baseline of the paper's Table 3.

200 epochs, batches of 128, learning rate 0.1, cosine, weight decay 5e-4.
"""

_base_ = ['./_base_/default.py', './_base_/cifar100.py']

model = dict(
    type='Classifier',
    backbone=dict(type='WideResNet', depth=28, widen_factor=10),
    num_classes=100,
    data_preprocessor=_base_.data_preprocessor,
)

max_epochs = 200
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=1)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True),
)
param_scheduler = dict(
    type='CosineAnnealingLR', T_max=max_epochs, by_epoch=True, convert_to_iter_based=True
)
auto_scale_lr = dict(enable=False, base_batch_size=128)
