"""Plain Mask R-CNN, small and from scratch, on scenes of garments: semi-synthetic images.

Its schedule is too short for a useful AP: the study's part on detection has yet to choose one.
"""

_base_ = './mask_rcnn_r18_shapes.py'

# Garments of 17 to 70 pixels in images of 160 x 128, and few RoIs, which saves time.
roi_layer = dict(sampling_ratio=1)
model = dict(
    rpn_head=dict(anchor_generator=dict(scales=[4])),
    roi_head=dict(
        bbox_roi_extractor=dict(roi_layer=roi_layer),
        bbox_head=dict(num_classes=10),
        mask_roi_extractor=dict(roi_layer=roi_layer),
        mask_head=dict(num_classes=10),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=200, max_per_img=100),
        rcnn=dict(sampler=dict(num=32)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=100)),
)

data_root = 'data/scenes/'
data_help = 'python tools/make_scenes.py makes it'
metainfo = dict(
    classes=(
        *('T-shirt/top', 'Trouser', 'Pullover', 'Dress', 'Coat'),
        *('Sandal', 'Shirt', 'Sneaker', 'Bag', 'Ankle boot'),
    ),
    palette=None,
)
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

max_epochs = 12  # 150 images in batches of 4: 38 iterations per epoch.
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = _base_.param_scheduler
param_scheduler[1]['T_max'] = max_epochs
