"""Plain Mask R-CNN, small and from scratch, on scenes of garments (semi-synthetic)."""

_base_ = './mask_rcnn_r18_shapes.py'

model = dict(
    roi_head=dict(bbox_head=dict(num_classes=10), mask_head=dict(num_classes=10)),
)

data_root = 'data/scenes/'
data_help = 'python tools/make_scenes.py makes it'
metainfo = dict(
    classes=(
        *('top', 'trouser', 'pullover', 'dress', 'coat'),
        *('sandal', 'shirt', 'sneaker', 'bag', 'boot'),
    ),
)
data = dict(data_root=data_root, metainfo=metainfo)
train_dataloader = dict(dataset=dict(times=1, dataset=data))
val_dataloader = dict(dataset=data)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = val_evaluator

max_epochs = 12  # 150 images in batches of 4: 38 iterations per epoch.
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = _base_.param_scheduler
param_scheduler[1]['T_max'] = max_epochs
