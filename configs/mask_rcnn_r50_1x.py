"""Mask R-CNN on COCO, 1000 x 600 pixels, 1x: the baseline row of the paper's Table 7.

8 GPUs x 2 images. The paper reports 36.5 box AP and 33.3 mask AP.
"""

_base_ = 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'

data_help = 'get COCO 2017 from https://cocodataset.org and unpack it to data/coco'

image_scale = (1000, 600)
train_pipeline = _base_.train_pipeline
test_pipeline = _base_.test_pipeline
train_pipeline[2]['scale'] = test_pipeline[1]['scale'] = image_scale
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
