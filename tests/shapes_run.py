"""The recipe of the shapes on a few small images of its own: as a config, and as options of it."""

from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmgradaug.datasets.shapes import ShapesSpec, make_shapes
from tests.networks import ROOT

CONFIG = Path(ROOT, 'configs/mask_rcnn_r18_gradaug_shapes.py')
TINY = [
    'model.backbone.base_channels=4',
    'model.neck.in_channels=4,8,16,32',
    'model.neck.out_channels=8',
    'model.rpn_head.in_channels=8',
    'model.rpn_head.feat_channels=8',
    'model.roi_head.bbox_roi_extractor.out_channels=8',
    'model.roi_head.bbox_head.in_channels=8',
    'model.roi_head.bbox_head.fc_out_channels=16',
    'model.roi_head.mask_roi_extractor.out_channels=8',
    'model.roi_head.mask_head.in_channels=8',
    'model.roi_head.mask_head.conv_out_channels=8',
    'model.train_cfg.rpn_proposal.nms_pre=50',
    'model.train_cfg.rcnn.sampler.num=16',
    'train_dataloader.dataset.dataset.pipeline.2.scale=(64,64)',
    'val_dataloader.dataset.pipeline.1.scale=(64,64)',
    'test_dataloader.dataset.pipeline.1.scale=(64,64)',
    'train_dataloader.dataset.times=1',
    'train_dataloader.batch_size=2',
    'train_cfg.max_epochs=1',
    'train_cfg.val_interval=1',
    'default_hooks.checkpoint.interval=1',
    'default_hooks.logger.interval=1',
]


def shapes_config(root: Path, train: int = 4, val: int = 1, model: Any = None, **spec: Any) -> Any:
    """The recipe, or another model in it, on images generated at 64 x 64 pixels unless told."""
    options = dict(size=(64, 64)) | spec
    make_shapes(root, ShapesSpec(train, **options), ShapesSpec(val, **options))
    cfg = Config.fromfile(CONFIG)
    cfg.model = model or cfg.model
    cfg.train_dataloader.dataset.dataset.data_root = f'{root}/'
    for loop in ('val', 'test'):
        cfg[f'{loop}_dataloader'].dataset.data_root = f'{root}/'
        cfg[f'{loop}_evaluator'].ann_file = f'{root}/annotations/val.json'
    return cfg


def shapes_options(root: Path, train: int = 8) -> list[str]:
    """Generate images under a folder; returns options of the recipe: a tiny network on them."""
    make_shapes(root, ShapesSpec(train, size=(64, 64)), ShapesSpec(2, size=(64, 64)))
    loaders = ['train_dataloader.dataset', 'val_dataloader', 'test_dataloader']
    annotations = f'{root}/annotations/val.json'
    return [
        *TINY,
        *(f'{loader}.dataset.data_root={root}/' for loader in loaders),
        *(f'{name}.ann_file={annotations}' for name in ('val_evaluator', 'test_evaluator')),
    ]
