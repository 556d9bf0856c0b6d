"""``mask_rcnn_r50_pretrained_1x.py`` at mmdet's usual 1333 x 800 pixels."""

_base_ = ['./_base_/mask_rcnn_pretrained.py', './_base_/coco_1x.py']
