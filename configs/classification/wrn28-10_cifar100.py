"""WideResNet-28-10 on CIFAR-100: the baseline of the paper's Table 3.

200 epochs, batches of 128, learning rate 0.1, cosine, weight decay 5e-4.
"""

_base_ = ['./_base_/default.py', './_base_/cifar100.py', './_base_/sgd.py']

model = dict(
    type='Classifier',
    backbone=dict(type='WideResNet', depth=28, widen_factor=10),
    num_classes=100,
    data_preprocessor=_base_.data_preprocessor,
)

max_epochs = 200
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=0.1, weight_decay=5e-4))
param_scheduler = dict(
    type='CosineAnnealingLR', T_max=max_epochs, by_epoch=True, convert_to_iter_based=True
)
auto_scale_lr = dict(base_batch_size=128)
