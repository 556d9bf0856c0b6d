"""``mask_rcnn_r50_gradaug_1x.py`` at mmdet's usual 1333 x 800 pixels."""

_base_ = ['./_base_/mask_rcnn_gradaug.py', './_base_/coco_1x.py']
