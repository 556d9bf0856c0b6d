"""Mask R-CNN with GradAug on COCO-style data of your own: copy this file anywhere.

Lines with ``<-`` are yours to change. Annotations with boxes but no masks: take the base
``mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py`` and ``detector='FasterRCNN'``, and remove
``mask_head``, ``with_mask=True`` and ``metric``.
"""

_base_ = 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['mmgradaug'], allow_failed_imports=False)

data_root = 'data/mine/'  # <- this folder has the annotation files and the images
train_ann, train_images = 'annotations/train.json', 'train/'  # <- in that folder
val_ann, val_images = 'annotations/val.json', 'val/'  # <-
classes = ('cat', 'dog')  # <- names and order of the annotation files; one is ('cat',)
num_classes = 2  # <-
image_scale = (1333, 800)  # <- longer and shorter side are resized to fit in
max_epochs = 12  # <-
batch_size = 2  # <- images per step on one GPU

model = dict(
    type='GradAugDetector',
    detector='MaskRCNN',
    # Its ImageNet weights are downloaded; without internet, init_cfg=dict(checkpoint=FILE), or None
    # with frozen_stages=-1, norm_eval=False. Of a ResNet-18, depth=18, the checkpoint is
    # 'torchvision://resnet18', and the model has neck=dict(in_channels=[64, 128, 256, 512]).
    backbone=dict(type='SlimmableResNet'),
    roi_head=dict(
        bbox_head=dict(num_classes=num_classes),
        mask_head=dict(num_classes=num_classes),
    ),
    gradaug=dict(
        num_subnets=3,  # <- 0 is plain training, to compare with
        min_width=0.9,
        transform=dict(type='RandomScale', scales=[1.0, 0.8, 0.6, 0.4]),  # <- of small images fewer
        distill=dict(soft=0.0),  # <- weight of the full network's scores and masks as targets
    ),
)
# load_from = 'mask_rcnn_r50_fpn_1x_coco.pth'  # <- a stock detector's file, to start from COCO

# mmdet's rate is 0.02 for 16 images. Gradients of all passes add up, so they are clipped.
optim_wrapper = dict(
    optimizer=dict(lr=0.02 / 16 * batch_size),  # <- if the loss diverges, lower
    clip_grad=dict(max_norm=10),
)
auto_scale_lr = dict(base_batch_size=batch_size)
train_cfg = dict(max_epochs=max_epochs)
default_hooks = dict(logger=dict(interval=50))  # <- iterations from line to line of the log
param_scheduler = [
    # <- 500 iterations; fewer if all of training is not many times as long
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(
        type='MultiStepLR',
        begin=0,
        end=max_epochs,
        by_epoch=True,
        # Apart, and after the first epoch, in a short trial too.
        milestones=[max(1, max_epochs * 2 // 3), max_epochs * 11 // 12 + (max_epochs < 4)],
        gamma=0.1,
    ),
]

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=image_scale, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_scale, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
train_dataloader = dict(
    batch_size=batch_size,
    dataset=dict(
        data_root=data_root,
        ann_file=train_ann,
        data_prefix=dict(img=train_images),
        metainfo=dict(classes=classes),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file=val_ann,
        data_prefix=dict(img=val_images),
        metainfo=dict(classes=classes),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + val_ann, metric=['bbox', 'segm'])
test_evaluator = val_evaluator
