"""Small networks and inputs that the tests share."""

from __future__ import annotations

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


@functools.cache
def _mmdet_config(name: str) -> Any:
    """A config of mmdet; reading one takes a while."""
    return get_config(f'mmdet::{name}.py')


def detector_config(mask: bool = True, **gradaug: Any) -> Any:
    """Model config of a tiny GradAug Mask or Faster R-CNN with 3 classes."""
    name = (
        'mask_rcnn/mask-rcnn_r50_fpn_1x_coco' if mask else 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco'
    )
    cfg = copy.deepcopy(_mmdet_config(name))
    cfg.merge_from_dict(
        {
            'model.backbone': dict(
                depth=18, base_channels=8, init_cfg=None, frozen_stages=-1, norm_eval=False
            ),
            'model.neck': dict(in_channels=[8, 16, 32, 64], out_channels=16),
            'model.rpn_head': dict(in_channels=16, feat_channels=16),
            'model.rpn_head.anchor_generator.scales': [4],
            'model.roi_head.bbox_roi_extractor.out_channels': 16,
            'model.roi_head.bbox_head': dict(in_channels=16, fc_out_channels=32, num_classes=3),
            'model.train_cfg.rpn_proposal': dict(nms_pre=100, max_per_img=50),
            'model.train_cfg.rcnn.sampler.num': 32,
            'model.test_cfg.rpn': dict(nms_pre=100, max_per_img=50),
        }
    )
    if mask:
        cfg.merge_from_dict(
            {
                'model.roi_head.mask_roi_extractor.out_channels': 16,
                'model.roi_head.mask_head': dict(
                    num_convs=1, in_channels=16, conv_out_channels=16, num_classes=3
                ),
            }
        )
    model = cfg.model
    options = dict(
        num_subnets=2,
        min_width=0.5,
        transform=dict(type='RandomScale', scales=[1.0, 0.75, 0.5]),
        seed=0,
    )
    model.gradaug = options | gradaug
    model.detector, model.type = model.type, 'GradAugDetector'
    model.backbone.type = 'SlimmableResNet'
    return model


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


def batch(num_items: tuple[int, ...] = (3, 2), size: int = 128, mask: bool = True) -> dict:
    """Random images with labels, as a data loader gives them."""
    shapes = [[3, size, size - 8 * index] for index in range(len(num_items))]
    return demo_mm_inputs(
        len(num_items), shapes, num_items=list(num_items), num_classes=3, with_mask=mask
    )
