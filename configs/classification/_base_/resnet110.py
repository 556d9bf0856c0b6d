"""ResNet-110 on CIFAR-10 and CIFAR-100 (Table 6), but for the data.

Schedule of stochastic depth (Huang et al. 2016): 500 epochs, batches of 128, learning rate 0.1, a
tenth from half and from three quarters on, weight decay 1e-4.
"""

_base_ = './sgd.py'

model = dict(type='Classifier', backbone=dict(type='DepthResNet', depth=110))

max_epochs = 500
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=0.1, weight_decay=1e-4))
param_scheduler = dict(type='MultiStepLR', milestones=[250, 375], gamma=0.1, by_epoch=True)
auto_scale_lr = dict(base_batch_size=128)
