"""ResNet-50 on ImageNet: the baseline of the paper's Table 1.

120 epochs, batches of 512 (64 on each of 8 GPUs; `--auto-scale-lr` for others), learning rate 0.2,
cosine. Momentum and weight decay, which the paper does not give, are those of CutMix's recipe.
"""

_base_ = ['./_base_/default.py', './_base_/imagenet.py', './_base_/sgd.py']

model = dict(
    type='Classifier',
    backbone=dict(
        type='ResNet',
        depth=50,
        out_indices=(3,),
        zero_init_residual=False,  # which is one of the tricks
    ),
    num_classes=1000,
    data_preprocessor=dict(type='ImagePreprocessor'),
)

max_epochs = 120
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=0.2, weight_decay=1e-4))
param_scheduler = dict(
    type='CosineAnnealingLR', T_max=max_epochs, by_epoch=True, convert_to_iter_based=True
)
auto_scale_lr = dict(base_batch_size=512)
