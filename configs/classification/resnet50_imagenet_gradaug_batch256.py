"""GradAug as the authors' README has it: batches of 256 with the learning rate of the paper's 512."""

_base_ = './resnet50_imagenet_gradaug.py'

train_dataloader = dict(batch_size=32)
auto_scale_lr = dict(base_batch_size=256)
