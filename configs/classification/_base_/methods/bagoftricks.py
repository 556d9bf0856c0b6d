"""Bag of tricks (He et al., CVPR 2019), but for what depends on the number of epochs.

ResNet-D, residual branches that start at zero, labels smoothed by 0.1, no weight decay of biases
and BatchNorm, and 5 epochs of warm-up: as the commands and logs that its authors published in
dmlc/web-data. Their learning rate of 0.4 for 1024 images per batch is the baseline's 0.2 for 512.
"""

tricks = dict(
    backbone=dict(type='ResNetV1d', zero_init_residual=True),
    label_smoothing=0.1,
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    warm_up=dict(
        type='LinearLR',
        start_factor=1e-4,  # it cannot be 0
        begin=0,
        end=5,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    cosine=dict(type='CosineAnnealingLR', begin=5, by_epoch=True, convert_to_iter_based=True),
)
