"""The last row of the paper's Table 7: GradAug in detection, from a GradAug-pretrained backbone.

COCO, 1000 x 600 pixels, 1x, 8 GPUs x 2 images. The paper reports 38.2 box AP and 35.4 mask AP.
"""

_base_ = ['./mask_rcnn_r50_pretrained_1x.py', './_base_/gradaug.py']

model = dict(
    type='GradAugDetector',
    detector='MaskRCNN',
    backbone=dict(type='SlimmableResNet'),
    gradaug=_base_.gradaug,
)
