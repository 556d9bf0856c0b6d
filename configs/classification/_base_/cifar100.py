"""CIFAR-100, padded by 4 pixels and cropped again."""

_base_ = './loaders.py'

data_root = 'data/cifar/'
data_help = (
    'unpack https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz to data/cifar, or '
    '--cfg-options train_dataloader.dataset.download=True'
)

train_pipeline = [
    dict(type='torchvision/RandomCrop', size=32, padding=4),
    dict(type='torchvision/RandomHorizontalFlip'),
    dict(type='PackImage'),
]
test_pipeline = [dict(type='PackImage')]
train_dataloader = dict(
    batch_size=128,
    num_workers=4,
    dataset=dict(
        type='TorchvisionImages',
        name='CIFAR100',
        data_root=data_root,
        split='train',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=4,
    dataset=dict(
        type='TorchvisionImages',
        name='CIFAR100',
        data_root=data_root,
        split='test',
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

# Of CIFAR-100's training images, from 0 to 255.
data_preprocessor = dict(
    type='ImagePreprocessor', mean=[129.3, 124.1, 112.4], std=[68.2, 65.4, 70.4]
)
