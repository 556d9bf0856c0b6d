"""WideResNet-10-2 on 250 labels of Fashion-MNIST, a minute on one core: the study's classifier.

Not the paper's. Only ``train_cfg.max_iters`` sets the length of a run; it is evaluated once, at
its end, on the first 5,000 test images.
"""

_base_ = './_base_/default.py'

data_root = 'data/fashion-mnist/'
data_help = (
    'apt install dataset-fashion-mnist && ln -s /usr/share/datasets/fashion-mnist data/, or '
    '--cfg-options train_dataloader.dataset.download=True'
)
dataset = dict(type='TorchvisionImages', name='FashionMNIST', data_root=data_root)
train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(
        **dataset,
        split='train',
        labels_per_class=25,
        pipeline=[
            dict(type='torchvision/RandomCrop', size=28, padding=2),
            dict(type='torchvision/RandomHorizontalFlip'),
            dict(type='PackImage'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=100,
    num_workers=0,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **dataset,
        split='test',
        indices=5000,
        test_mode=True,
        pipeline=[
            dict(type='torchvision/Pad', padding=0),  # 2 where corruptions need 32 pixels
            dict(type='PackImage'),
        ],
    ),
)
test_dataloader = val_dataloader

model = dict(
    type='Classifier',
    backbone=dict(type='WideResNet', depth=10, widen_factor=2),
    num_classes=10,
    channels_last=True,
    data_preprocessor=dict(type='ImagePreprocessor', mean=[72.9] * 3, std=[90.0] * 3),
)

train_cfg = dict(by_epoch=False, max_iters=400, val_interval=1_000_000)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True),
)
param_scheduler = dict(type='CosineAnnealingLR', by_epoch=False)
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=1_000_000, save_best=None, max_keep_ckpts=1)
)
log_processor = dict(by_epoch=False)
