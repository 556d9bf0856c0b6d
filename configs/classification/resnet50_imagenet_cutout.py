"""ResNet-50 on ImageNet with Cutout (Table 1): squares of half the image's side."""

_base_ = './resnet50_imagenet.py'

train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(type='Cutout', size=112),
    dict(type='PackImage'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
