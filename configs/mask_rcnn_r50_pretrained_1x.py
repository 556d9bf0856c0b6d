"""The row "GradAug-pretrained" of the paper's Table 7: plain training from a GradAug backbone.

The paper reports 37.7 box AP and 34.5 mask AP.
"""

_base_ = ['./_base_/mask_rcnn_pretrained.py', './_base_/coco_1000x600_1x.py']
