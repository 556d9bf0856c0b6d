"""``coco_1x.py`` at 1000 x 600 pixels, the size of the paper's Table 7."""

_base_ = './coco_1x.py'

image_scale = (1000, 600)
train_pipeline = _base_.train_pipeline
test_pipeline = _base_.test_pipeline
train_pipeline[2]['scale'] = test_pipeline[1]['scale'] = image_scale
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
