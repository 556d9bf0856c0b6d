"""FCOS with GradAug on COCO, 1333 x 800 pixels, 1x, 8 GPUs x 2 images.

mmdet's recipe starts from Caffe weights; images and strides are those of PyTorch weights here.

Not an experiment of the paper.
"""

_base_ = [
    'mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
    './_base_/coco.py',
    './_base_/gradaug.py',
]

model = dict(
    type='GradAugDetector',
    detector='FCOS',
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True
    ),
    backbone=dict(
        type='SlimmableResNet',
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='pretrained/resnet50_gradaug.pth'),
    ),
    gradaug=_base_.gradaug,
)
