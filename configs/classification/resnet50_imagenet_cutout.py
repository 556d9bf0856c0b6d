"""ResNet-50 on ImageNet with Cutout (Table 1): squares of half the image's side.

The accuracy in Table 1 is the one that CutMix's authors published (top-1 error 22.93), for 300
epochs. That their squares were of 112 pixels is not confirmed; Cutout's own authors did not train
on ImageNet.
"""

_base_ = './resnet50_imagenet.py'

train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(type='Cutout', size=112),
    dict(type='PackImage'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
