"""``mask_rcnn_r50_pretrained_1x.py`` at mmdet's usual 1333 x 800 pixels."""

_base_ = './mask_rcnn_r50_pretrained_1x.py'

image_scale = (1333, 800)
train_pipeline = _base_.train_pipeline
test_pipeline = _base_.test_pipeline
train_pipeline[2]['scale'] = test_pipeline[1]['scale'] = image_scale
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
