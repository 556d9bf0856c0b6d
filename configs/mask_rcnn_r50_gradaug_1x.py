"""The last row of the paper's Table 7: GradAug in detection, from a GradAug-pretrained backbone.

COCO, 1000 x 600 pixels, 1x, 8 GPUs x 2 images. The paper reports 38.2 box AP and 35.4 mask AP.
"""

_base_ = ['./_base_/mask_rcnn_gradaug.py', './_base_/coco_1000x600_1x.py']
