"""ResNet-18 at half width on Fashion-MNIST, the backbone of ``mask_rcnn_r18_scenes.py``.

Not the paper's. Images are enlarged, since the network halves them five times. 100 labels a class
and 375 iterations, 12 epochs: training is short for the data, as in a fine-tuning of a few epochs.
"""

_base_ = './wrn10-2_fashion.py'

train_dataloader = dict(
    dataset=dict(
        labels_per_class=100,
        pipeline=[
            dict(type='torchvision/Resize', size=48),
            dict(type='torchvision/RandomCrop', size=48, padding=4),
            dict(type='torchvision/RandomHorizontalFlip'),
            dict(type='PackImage'),
        ],
    )
)
val_dataloader = dict(
    dataset=dict(pipeline=[dict(type='torchvision/Resize', size=48), dict(type='PackImage')])
)
test_dataloader = val_dataloader

model = dict(
    backbone=dict(_delete_=True, type='ResNet', depth=18, base_channels=32, out_indices=(3,))
)
train_cfg = dict(max_iters=375)
