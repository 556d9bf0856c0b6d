"""Plain Mask R-CNN, small, on scenes of garments: semi-synthetic images. The study's detector.

Three minutes on one core, from a ResNet-18 at half width that was trained on Fashion-MNIST:

    python tools/pretrain.py configs/classification/resnet18_fashion.py
    python tools/make_scenes.py
    python tools/train.py configs/mask_rcnn_r18_scenes.py
"""

_base_ = './mask_rcnn_r18_shapes.py'

# Garments of 17 to 70 pixels in images of 160 x 128. Boxes and masks are of any class, and half of
# the RoIs are objects, since a run is short.
roi_extractor = dict(roi_layer=dict(sampling_ratio=1))
model = dict(
    data_preprocessor=dict(mean=[72.9] * 3, std=[90.0] * 3),  # the classifier's
    backbone=dict(
        init_cfg=dict(
            _delete_=True,
            type='Pretrained',
            checkpoint='work_dirs/resnet18_fashion/iter_375.pth',
            prefix='backbone.',
        )
    ),
    rpn_head=dict(anchor_generator=dict(scales=[4])),
    roi_head=dict(
        bbox_roi_extractor=roi_extractor,
        bbox_head=dict(num_classes=5, reg_class_agnostic=True),
        mask_roi_extractor=roi_extractor,
        mask_head=dict(num_classes=5, class_agnostic=True),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=200, max_per_img=100),
        rcnn=dict(sampler=dict(pos_fraction=0.5)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=100), rcnn=dict(max_per_img=30)),
)

data_root = 'data/scenes/'
data_help = 'python tools/make_scenes.py makes it'
metainfo = dict(classes=('top', 'trouser', 'dress', 'shoe', 'bag'), palette=None)
train_pipeline = _base_.train_pipeline
train_pipeline[2]['scale'] = (160, 128)
test_pipeline = _base_.test_pipeline
test_pipeline[1]['scale'] = (160, 128)
data = dict(data_root=data_root, metainfo=metainfo)
train_dataloader = dict(dataset=dict(times=1, dataset=dict(**data, pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(**data, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = val_evaluator

train_cfg = dict(val_interval=10)  # after 10 epochs of 38 iterations
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=2e-3, weight_decay=0.05),
)
