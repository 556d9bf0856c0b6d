"""Small networks and inputs that the tests share."""

import copy
import functools
from typing import Any

import torch
from mmdet.testing import demo_mm_inputs
from mmengine.hub import get_config
from mmengine.registry import MODELS, DefaultScope, init_default_scope
from torch import nn

import mmgradaug

ROOT = __file__.rsplit('/', 2)[0]
_read_config = functools.cache(get_config)  # slow: reads the index of all models


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give every parameter and statistic a random value, so that no layer is silent."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        if tensor.is_floating_point():
            value = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            if tensor.dim() > 1:
                value = value * (2.0 / tensor[0].numel()) ** 0.5
            else:
                value = 0.2 * value + ('weight' in name)
            if 'running_var' in name:
                value = value.abs() + 0.5
            tensor.data.copy_(value)
    return network


def random_images(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Standard normal images."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def small_resnet(depth: int = 18, **kwargs: Any) -> mmgradaug.SlimmableResNet:
    """A narrow slimmable ResNet with random weights, in training mode."""
    options: dict[str, Any] = dict(base_channels=8, norm_eval=False) | kwargs
    return randomised(mmgradaug.SlimmableResNet(depth, **options)).train()  # type: ignore


def detector_config(mask: bool = True, **gradaug: Any) -> Any:
    """Model config of a tiny GradAug Mask or Faster R-CNN with 3 classes."""
    kind = 'mask' if mask else 'faster'
    return two_stage_config(f'{kind}_rcnn/{kind}-rcnn_r50_fpn_1x_coco', **gradaug)


def mmdet_config(name: str) -> Any:
    """A config of mmdet's own, to change as one likes."""
    return copy.deepcopy(_read_config(f'mmdet::{name}.py'))


def two_stage_config(name: str, **gradaug: Any) -> Any:
    """Model config of a tiny GradAug copy, with 3 classes, of a two-stage detector of mmdet."""
    cfg = mmdet_config(name)
    cfg.merge_from_dict(
        {
            'model.backbone': dict(
                depth=18, base_channels=8, init_cfg=None, frozen_stages=-1, norm_eval=False
            ),
            'model.neck': dict(in_channels=[8, 16, 32, 64], out_channels=16),
            'model.rpn_head': dict(in_channels=16, feat_channels=16),
            'model.rpn_head.anchor_generator.scales': [4],
            'model.train_cfg.rpn_proposal': dict(nms_pre=100, max_per_img=50),
            'model.test_cfg.rpn': dict(nms_pre=100, max_per_img=50),
        }
    )
    model = cfg.model
    for key, options in TINY_ROI_HEADS.items():
        for part in as_list(model.roi_head.get(key)):
            part.update({k: v for k, v in options.items() if k not in OPTIONAL or k in part})
    for stage in as_list(model.train_cfg.rcnn):
        stage.sampler.num = 32
    model.backbone.type = 'SlimmableResNet'
    return _with_gradaug(model, gradaug)


def _with_gradaug(model: Any, gradaug: dict[str, Any]) -> Any:
    """Switch GradAug on in a stock model config, with defaults for what is not given."""
    scales = dict(type='RandomScale', scales=[1.0, 0.75, 0.5])
    model.gradaug = dict(num_subnets=2, min_width=0.5, transform=scales, seed=0) | gradaug
    distill = gradaug.get('distill') or {}
    if isinstance(distill, dict):  # soft losses are off by default
        model.gradaug.distill = dict(soft=0.5) | distill
    model.detector, model.type = model.type, 'GradAugDetector'
    return model


OPTIONAL = ('num_convs', 'conv_out_channels')
TINY_HEAD: dict[str, Any] = dict(in_channels=16, num_classes=3, num_convs=1, conv_out_channels=16)
TINY_ROI_HEADS: dict[str, dict[str, Any]] = {
    'bbox_roi_extractor': dict(out_channels=16),
    'mask_roi_extractor': dict(out_channels=16),
    'semantic_roi_extractor': dict(out_channels=16),
    'bbox_head': TINY_HEAD | dict(fc_out_channels=32),
    'mask_head': TINY_HEAD,
    'mask_iou_head': TINY_HEAD | dict(fc_out_channels=32),
    'semantic_head': TINY_HEAD | dict(num_classes=4),
}


def as_list(parts: Any) -> list:
    """One config, several or none as a list."""
    if parts is None:
        return []
    return list(parts) if isinstance(parts, (list, tuple)) else [parts]


def stock_config(model: Any) -> Any:
    """The stock mmdet config behind a GradAug model config."""
    model = copy.deepcopy(model)
    model.type = model.pop('detector')
    model.pop('gradaug')
    model.backbone.type = 'ResNet'
    return model


def build(model: Any, seed: int = 0) -> Any:
    """Build a detector and initialise its weights, in training mode."""
    if DefaultScope.get_current_instance() is None:
        init_default_scope('mmdet')
    torch.manual_seed(seed)
    detector = MODELS.build(copy.deepcopy(model))
    detector.init_weights()
    return detector.train()


def pretrained(path: Any, **options: Any) -> Any:
    """A backbone that starts from weights in a file."""
    init_cfg = dict(type='Pretrained', checkpoint=str(path))
    backbone = MODELS.build(options | dict(init_cfg=init_cfg))
    backbone.init_weights()
    return backbone


def saved_run(folder: Any, cfg: Any, model: nn.Module) -> list[str]:
    """Write a config and a checkpoint; returns their paths, as a tool's command line has them."""
    (folder / 'c.py').write_text(cfg.pretty_text)
    torch.save({'state_dict': model.state_dict()}, folder / 'epoch_1.pth')
    return [str(folder / 'c.py'), str(folder / 'epoch_1.pth')]


def batch(
    num_items: tuple[int, ...] = (3, 2), size: int = 128, mask: bool = True, semantic: bool = False
) -> dict:
    """Random images with labels, as a data loader gives them."""
    shapes = [[3, size, size - 8 * index] for index in range(len(num_items))]
    labels = dict(num_items=list(num_items), num_classes=3, with_mask=mask, with_semantic=semantic)
    return demo_mm_inputs(len(num_items), shapes, **labels)


# Heads that normalise in 32 groups unless told otherwise.
IN_GROUPS = ('ATSS', 'AutoAssign', 'CenterNet', 'DDOD', 'FCOS', 'GFL', 'PAA', 'TOOD', 'VFNet')


def dense_config(name: str, changes: dict | None = None, **gradaug: Any) -> Any:
    """Model config of a tiny single-stage detector of mmdet's with 3 classes, its head changed."""
    model = mmdet_config(name).model
    out_indices = model.backbone.get('out_indices', (0, 1, 2, 3))
    if 'ResNet' not in model.backbone.type:
        out_indices = (1, 2, 3)
    small = dict(depth=18, base_channels=8, norm_eval=False)
    model.backbone = dict(type='SlimmableResNet', out_indices=out_indices, **small)
    channels = [8, 16, 32, 64]
    necks = [model.neck] if isinstance(model.neck, dict) else model.neck
    last = 0
    for neck in necks:
        listed = isinstance(neck.in_channels, (list, tuple))
        taken = channels[-len(neck.in_channels) :] if listed else channels[-1]
        neck.in_channels = [16] * 4 if listed and last else taken
        neck.out_channels = last = 16
        _shrink(neck)
    head = model.bbox_head
    head.update(num_classes=3, in_channels=16)
    if 'YOLOF' in head.type:
        neck.update(block_mid_channels=8)
        head.update(num_cls_convs=1, num_reg_convs=1)
    else:
        head.update(feat_channels=16, stacked_convs=1)
    if 'point_feat_channels' in head:
        head.point_feat_channels = 16
    if 'norm_cfg' not in head and head.type.startswith(IN_GROUPS):
        head.norm_cfg = dict(type='GN')
    _shrink(head)
    for key, value in (changes or {}).items():
        head[key] = value
    model.data_preprocessor.pop('batch_augments', None)
    return _with_gradaug(model, gradaug)


def _shrink(cfg: Any) -> None:
    """Give group normalisations few groups, and drop normalisations across processes."""
    for key, value in list(cfg.items()):
        if isinstance(value, dict):
            if value.get('type') == 'GN':
                value['num_groups'] = 4
            if value.get('type') == 'SyncBN':
                value['type'] = 'BN'
            _shrink(value)
        elif key == 'num_csp_blocks':
            cfg[key] = 1
