"""PyramidNet-200 (alpha 240) on CIFAR-100: the baseline of the paper's Table 3.

300 epochs, batches of 64, learning rate 0.25, a tenth from epochs 150 and 225 on, weight decay
1e-4.
"""

_base_ = './wrn28-10_cifar100.py'

model = dict(backbone=dict(_delete_=True, type='PyramidNet', depth=200, alpha=240))

max_epochs = 300
train_cfg = dict(max_epochs=max_epochs)
train_dataloader = dict(batch_size=64)
optim_wrapper = dict(optimizer=dict(lr=0.25, weight_decay=1e-4))
param_scheduler = dict(
    _delete_=True, type='MultiStepLR', milestones=[150, 225], gamma=0.1, by_epoch=True
)
auto_scale_lr = dict(base_batch_size=64)
