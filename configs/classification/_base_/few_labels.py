"""Few labels (section 4.6): WideResNet-28-2, trained as in "Realistic evaluation of deep
semi-supervised learning" (Oliver et al. 2018), as far as its public code says.

From there (brain-research/realistic-ssl-evaluation): 500,000 iterations, batches of 100, Adam with
learning rate 0.003, a fifth of it from iteration 400,000 on, no weight decay. Its leaky ReLU (0.1),
its slower BatchNorm (0.999) and ZCA are left out: ReLU, 0.9 and mean and deviation are ours.
It chooses iterations by validation images; this reports the last. The supplement that has the
paper's own settings is not public.

Labels and their split are options of train_dataloader.dataset: ``labels_per_class=25`` are 250
labels, ``subset_seed=1`` the second split of five.
"""

_base_ = './default.py'

model = dict(
    type='Classifier',
    backbone=dict(type='WideResNet', depth=28, widen_factor=2),
    num_classes=10,
)

max_iters = 500_000
train_cfg = dict(by_epoch=False, max_iters=max_iters, val_interval=10_000)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=3e-3, weight_decay=0.0))
param_scheduler = dict(type='MultiStepLR', milestones=[400_000], gamma=0.2, by_epoch=False)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=10_000))
log_processor = dict(by_epoch=False)
