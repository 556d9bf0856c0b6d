"""Plain Mask R-CNN, small and from scratch, on generated shapes: the demo without a network."""

_base_ = './mask_rcnn_r18_nuclei.py'

model = dict(
    roi_head=dict(bbox_head=dict(num_classes=3), mask_head=dict(num_classes=3)),
)

data_root = 'data/shapes/'
data_help = 'python tools/make_shapes.py makes it'
metainfo = dict(
    classes=('circle', 'square', 'triangle'),
    palette=[(220, 20, 60), (0, 130, 200), (60, 160, 60)],
)
data = dict(data_root=data_root, metainfo=metainfo)
train_dataloader = dict(dataset=dict(times=1, dataset=data))
val_dataloader = dict(dataset=data)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = val_evaluator

max_epochs = 10  # 120 images in batches of 4: 30 iterations per epoch.
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = _base_.param_scheduler
param_scheduler[1]['T_max'] = max_epochs
