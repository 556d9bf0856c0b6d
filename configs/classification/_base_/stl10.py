"""STL-10's labelled images, padded by 12 of 96 pixels and cropped again."""

_base_ = './cifar100.py'

data_root = 'data/stl10/'
data_help = (
    'unpack http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz to data/stl10, or '
    '--cfg-options train_dataloader.dataset.download=True'
)
train_pipeline = [
    dict(type='torchvision/RandomCrop', size=96, padding=12),
    dict(type='torchvision/RandomHorizontalFlip'),
    dict(type='PackImage'),
]
train_dataloader = dict(dataset=dict(name='STL10', data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(name='STL10', data_root=data_root))
test_dataloader = val_dataloader

# Of STL-10's training images, from 0 to 255.
data_preprocessor = dict(mean=[113.9, 112.2, 103.7], std=[66.4, 65.3, 69.2])
