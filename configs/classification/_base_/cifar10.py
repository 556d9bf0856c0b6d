"""CIFAR-10, padded by 4 pixels and cropped again."""

_base_ = './cifar100.py'

data_help = (
    'unpack https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz to data/cifar, or '
    '--cfg-options train_dataloader.dataset.download=True'
)
train_dataloader = dict(dataset=dict(name='CIFAR10'))
val_dataloader = dict(dataset=dict(name='CIFAR10'))
test_dataloader = val_dataloader

# Of CIFAR-10's training images, from 0 to 255.
data_preprocessor = dict(mean=[125.3, 123.0, 113.9], std=[63.0, 62.1, 66.7])
