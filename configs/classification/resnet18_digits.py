"""A small ResNet on 100 handwritten digits, within minutes on a CPU: `make pretrain-demo`.

The network is the backbone of ``mask_rcnn_r18_nuclei.py``. Images are enlarged, since it halves
them five times.
"""

_base_ = ['./_base_/default.py']

data_root = 'data/digits/'
data_help = 'python tools/make_digits.py makes it'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ToImageTensor'),
    dict(type='torchvision/Resize', size=48),
    dict(type='torchvision/RandomCrop', size=48, padding=6),
    dict(type='PackImage'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ToImageTensor'),
    dict(type='torchvision/Resize', size=48),
    dict(type='PackImage'),
]
train_dataloader = dict(
    batch_size=20,
    num_workers=0,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='ClassFolders',
        data_root=data_root,
        split='train',
        labels_per_class=10,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=100,
    num_workers=0,
    drop_last=False,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ClassFolders',
        data_root=data_root,
        split='val',
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(topk=(1,))
test_evaluator = val_evaluator

model = dict(
    type='Classifier',
    backbone=dict(type='ResNet', depth=18, base_channels=32, out_indices=(3,)),
    num_classes=10,
    data_preprocessor=dict(type='ImagePreprocessor', mean=[33.0] * 3, std=[78.0] * 3),
)

max_epochs = 60  # of 5 iterations
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=15)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True),
)
param_scheduler = dict(
    type='CosineAnnealingLR', T_max=max_epochs, by_epoch=True, convert_to_iter_based=True
)
default_hooks = dict(logger=dict(interval=5), checkpoint=dict(interval=15, max_keep_ckpts=1))
log_processor = dict(window_size=5)
