"""Tiny detectors of every family of dense heads, from mmdet's own configs."""

import functools

import torch

from mmgradaug.detection.distillation import DistillConfig, find_distillers
from tests.networks import build, dense_config, random_images

KEYS = ('dense_cls', 'dense_bbox', 'dense_quality', 'dense_dfl')
FAMILIES = {
    'RetinaNet': 'retinanet/retinanet_r50_fpn_1x_coco',
    'RetinaNet softmax': 'retinanet/retinanet_r50_fpn_1x_coco',
    'RetinaSepBN': 'nas_fpn/retinanet_r50_nasfpn_crop640-50e_coco',
    'FreeAnchor': 'free_anchor/freeanchor_r50_fpn_1x_coco',
    'FSAF': 'fsaf/fsaf_r50_fpn_1x_coco',
    'YOLOF': 'yolof/yolof_r50-c5_8xb8-1x_coco',
    'ATSS': 'atss/atss_r50_fpn_1x_coco',
    'PAA': 'paa/paa_r50_fpn_1x_coco',
    'DDOD': 'ddod/ddod_r50_fpn_1x_coco',
    'GFL': 'gfl/gfl_r50_fpn_1x_coco',
    'TOOD': 'tood/tood_r50_fpn_1x_coco',
    'TOOD anchor': 'tood/tood_r50_fpn_anchor-based_1x_coco',
    'FCOS': 'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco',
    'FCOS normed': 'fcos/fcos_r50-caffe_fpn_gn-head-center-normbbox-centeronreg-giou_1x_coco',
    'NAS-FCOS': 'nas_fcos/nas-fcos_r50-caffe_fpn_nashead-gn-head_4xb4-1x_coco',
    'AutoAssign': 'autoassign/autoassign_r50-caffe_fpn_1x_coco',
    'CenterNet': 'centernet/centernet-update_r50-caffe_fpn_ms-1x_coco',
    'FoveaBox': 'foveabox/fovea_r50_fpn_4xb4-1x_coco',
    'RepPoints': 'reppoints/reppoints-moment_r50_fpn_1x_coco',
    'VFNet': 'vfnet/vfnet_r50_fpn_1x_coco',
    'RTMDet': 'rtmdet/rtmdet_s_8xb32-300e_coco',
    'YOLOX': 'yolox/yolox_s_8xb8-300e_coco',
}
CHANGES = {
    'RetinaNet softmax': dict(loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False)),
    'DDOD': dict(use_dcn=False),
}
SIZE = 96  # of the images; the coarsest levels have a single cell


@functools.cache
def built(name):
    """A detector of a family, whose head's last layers say something; not to be changed."""
    model = build(dense_config(FAMILIES[name], CHANGES.get(name)))
    head = model.bbox_head
    torch.manual_seed(1)
    for parameter in head.parameters():
        if parameter.dim() == 4:
            parameter.data += 0.05 * torch.randn_like(parameter)
    return model


def detector(name, mode=None, **distill):
    """A detector of a family with other targets: one mode for all outputs, or as configured."""
    model = built(name)
    model._config = DistillConfig.parse(dict.fromkeys(KEYS, mode) if mode else distill)
    model._distillers, missing = find_distillers(model, model._config)
    assert missing is None
    return model


def random_feats(head, size):
    """Random features of a head's levels for an image of a size."""
    strides = head.prior_generator.strides
    shapes = [(-(-size[0] // y), -(-size[1] // x)) for x, y in strides]
    return [random_images(1, 16, *shape, seed=level) for level, shape in enumerate(shapes)]


def teach(distiller, size):
    """Record the head on random features, as in a full pass; returns its raw outputs."""
    (recorder,) = distiller.recorders()
    with torch.no_grad(), recorder:
        return distiller.head(random_feats(distiller.head, size))
