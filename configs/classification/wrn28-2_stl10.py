"""WideResNet-28-2 on 1000 labels of STL-10: the baseline of the paper's Table 10.

The paper refers to "Realistic evaluation of deep semi-supervised learning" for hyper-parameters,
which are not followed here: optimizer and schedule are ours. Other splits of labels:
``--cfg-options train_dataloader.dataset.subset_seed=1``.
"""

_base_ = ['./_base_/default.py', './_base_/stl10.py', './_base_/sgd.py']

train_dataloader = dict(batch_size=100, dataset=dict(labels_per_class=100))

model = dict(
    type='Classifier',
    backbone=dict(type='WideResNet', depth=28, widen_factor=2),
    num_classes=10,
    data_preprocessor=_base_.data_preprocessor,
)

max_epochs = 1000
train_cfg = dict(max_epochs=max_epochs, val_interval=10)
optim_wrapper = dict(optimizer=dict(lr=0.1, weight_decay=5e-4))
param_scheduler = dict(
    type='CosineAnnealingLR', T_max=max_epochs, by_epoch=True, convert_to_iter_based=True
)
auto_scale_lr = dict(base_batch_size=100)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=10))
