"""What cannot be turned is refused when the detector is built, not in the middle of training."""

import pytest

from mmgradaug.transforms import Rotate
from tests.detection.passes import subnet_losses, taught
from tests.networks import batch, build, detector_config, two_stage_config

ROTATE = dict(type='RandomRotate')
HALF_TURNS = dict(type='RandomRotate', angles=[0, 180])
SCALE = dict(type='RandomScale', scales=[0.5])


def with_stds(config, stds):
    config.roi_head.bbox_head.bbox_coder.target_stds = stds
    return config


def with_ratios(config, ratios):
    config.rpn_head.anchor_generator.ratios = ratios
    return config


@pytest.mark.parametrize('transform', [ROTATE, [SCALE, ROTATE], HALF_TURNS, SCALE])
@pytest.mark.parametrize('target', ['hard', 'soft', 'off'])
def test_deltas_of_unequal_stds(transform, target):
    config = with_stds(
        detector_config(transform=transform, distill=dict(roi_bbox=target)), [0.1, 0.2, 0.2, 0.2]
    )
    if target != 'off' and transform in (ROTATE, [SCALE, ROTATE]):
        with pytest.raises(ValueError, match=r'stds \[0.1, 0.2, 0.2, 0.2\] cannot be turned'):
            build(config)
    else:
        build(config)


def test_deltas_of_unequal_means():
    config = detector_config(transform=HALF_TURNS)
    config.roi_head.bbox_head.bbox_coder.target_means = [0.1, 0.0, 0.0, 0.0]
    with pytest.raises(ValueError, match='cannot be turned'):
        build(config)
    config.roi_head.bbox_head.update(reg_decoded_bbox=True, loss_bbox=dict(type='GIoULoss'))
    build(config)  # hard targets are boxes in pixels, which turn whatever the coder


def test_deltas_of_another_kind():
    config = detector_config(transform=HALF_TURNS)
    config.roi_head.bbox_head.bbox_coder = dict(type='TBLRBBoxCoder')
    with pytest.raises(ValueError, match=r'TBLRBBoxCoder.*cannot be turned'):
        build(config)


def test_a_later_stage_of_a_cascade():
    config = two_stage_config('cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco', transform=ROTATE)
    config.roi_head.bbox_head[2].bbox_coder.target_stds = [0.033, 0.033, 0.067, 0.1]
    with pytest.raises(ValueError, match='cannot be turned'):
        build(config)


def test_deltas_of_proposals_are_decoded_before_they_turn():
    config = detector_config(transform=ROTATE, distill=dict(rpn_bbox='soft'))
    config.rpn_head.bbox_coder.target_stds = [1.0, 0.5, 1.0, 1.0]
    build(config)


def test_anchors_without_counterparts():
    with pytest.raises(ValueError, match='no counterparts under a quarter turn'):
        build(with_ratios(detector_config(transform=ROTATE), [0.5, 1.0]))
    build(with_ratios(detector_config(transform=HALF_TURNS), [0.5, 1.0]))
    build(with_ratios(detector_config(transform=ROTATE, distill=dict(rpn_cls='hard')), [0.5, 1.0]))
    build(with_ratios(detector_config(transform=ROTATE, num_subnets=0), [0.5, 1.0]))


def test_transforms_that_do_not_say_that_they_turn_are_stopped_when_they_do():
    model = build(with_stds(detector_config(transform=None), [0.1, 0.2, 0.2, 0.2]))
    data = taught(model, batch())
    with pytest.raises(ValueError, match='cannot be turned'):
        subnet_losses(model, data, Rotate(1))
