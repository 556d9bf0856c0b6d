"""``mask_rcnn_r50_1x.py`` at mmdet's usual 1333 x 800 pixels: mmdet's own config."""

_base_ = ['mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', './_base_/coco.py']
