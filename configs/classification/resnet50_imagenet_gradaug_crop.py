"""ResNet-50 with GradAug whose sub-networks see random crops of their own, at the same 4 scales.

As an earlier release of the authors' code, but cut out of the full network's images.
"""

_base_ = './resnet50_imagenet_gradaug.py'

model = dict(gradaug=dict(transform=dict(type='RandomResizedCrop')))
