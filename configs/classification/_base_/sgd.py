"""SGD in epochs; a recipe adds their number, learning rate and weight decay."""

train_cfg = dict(by_epoch=True, val_interval=1)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', momentum=0.9, nesterov=True))
auto_scale_lr = dict(enable=False)
