"""Mask R-CNN on COCO, 1000 x 600 pixels, 1x: the baseline row of the paper's Table 7.

8 GPUs x 2 images. The paper reports 36.5 box AP and 33.3 mask AP.
"""

_base_ = ['mmdet::_base_/models/mask-rcnn_r50_fpn.py', './_base_/coco_1000x600_1x.py']
