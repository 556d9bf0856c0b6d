"""mmdet's COCO data with masks at 1333 x 800 pixels, its 1x schedule for 8 GPUs x 2 images."""

_base_ = [
    'mmdet::_base_/datasets/coco_instance.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    'mmdet::_base_/default_runtime.py',
    './coco.py',
]
