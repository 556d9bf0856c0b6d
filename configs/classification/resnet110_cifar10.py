"""ResNet-110 on CIFAR-10: the baseline of the paper's Table 6.

Schedule of stochastic depth (Huang et al. 2016): 500 epochs, batches of 128, learning rate 0.1, a
tenth from half and from three quarters on, weight decay 1e-4.
"""

_base_ = ['./_base_/default.py', './_base_/cifar10.py']

model = dict(
    type='Classifier',
    backbone=dict(type='DepthResNet', depth=110),
    num_classes=10,
    data_preprocessor=_base_.data_preprocessor,
)

max_epochs = 500
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=1)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=True),
)
param_scheduler = dict(type='MultiStepLR', milestones=[250, 375], gamma=0.1, by_epoch=True)
auto_scale_lr = dict(enable=False, base_batch_size=128)
