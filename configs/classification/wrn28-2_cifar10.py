"""WideResNet-28-2 on 4,000 labels of CIFAR-10: the baseline of the paper's Table 10.

1,000 and 250 labels: ``--cfg-options train_dataloader.dataset.labels_per_class=100`` or 25.
Images are moved by up to 2 pixels, flipped, and get noise of 0.15 deviations, as in Oliver et al.
"""

_base_ = ['./_base_/few_labels.py', './_base_/cifar10.py']

train_pipeline = [
    dict(type='torchvision/RandomCrop', size=32, padding=2, padding_mode='reflect'),
    dict(type='torchvision/RandomHorizontalFlip'),
    dict(type='torchvision/GaussianNoise', sigma=0.15 * 64 / 255),  # of pixels from 0 to 1
    dict(type='PackImage'),
]
train_dataloader = dict(
    batch_size=100,
    drop_last=False,
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(labels_per_class=400, pipeline=train_pipeline),
)

model = dict(data_preprocessor=_base_.data_preprocessor)
