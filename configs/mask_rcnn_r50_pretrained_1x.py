"""The row "GradAug-pretrained" of the paper's Table 7: plain training from a GradAug backbone.

The paper reports 37.7 box AP and 34.5 mask AP.
"""

_base_ = './mask_rcnn_r50_1x.py'

model = dict(
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='pretrained/resnet50_gradaug.pth')),
)
