"""ImageNet in folders, with the augmentation that the paper takes from CutMix (section 4.1)."""

_base_ = './loaders.py'

data_root = 'data/imagenet/'
data_help = (
    'get ILSVRC2012 from https://image-net.org and unpack it to data/imagenet/train/CLASS/ and '
    'data/imagenet/val/CLASS/'
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ToImageTensor'),
    dict(type='torchvision/RandomResizedCrop', size=224),
    dict(type='torchvision/RandomHorizontalFlip'),
    dict(type='torchvision/ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
    dict(type='Lighting', std=0.1),
    dict(type='PackImage'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ToImageTensor'),
    dict(type='torchvision/Resize', size=256),
    dict(type='torchvision/CenterCrop', size=224),
    dict(type='PackImage'),
]
train_dataloader = dict(
    batch_size=64,  # on each of 8 GPUs
    num_workers=8,
    dataset=dict(type='ClassFolders', data_root=data_root, split='train', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=8,
    dataset=dict(
        type='ClassFolders',
        data_root=data_root,
        split='val',
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
