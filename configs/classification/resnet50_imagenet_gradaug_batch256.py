"""GradAug on ImageNet with batches of 256, as the authors' README; the learning rate stays."""

_base_ = './resnet50_imagenet_gradaug.py'

train_dataloader = dict(batch_size=32)
auto_scale_lr = dict(base_batch_size=256)
