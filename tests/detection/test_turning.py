"""What cannot be turned with the image is refused in the first pass that turns."""

import pytest

from mmgradaug.errors import ConfigError
from mmgradaug.transforms import Rotate, Scale
from tests.detection.passes import subnet_losses, taught
from tests.networks import batch, build, detector_config, two_stage_config


def box_head(config):
    return config.roi_head.bbox_head


def unequal_stds(config):
    box_head(config).bbox_coder.target_stds = [0.1, 0.2, 0.2, 0.2]


def means(config):
    box_head(config).bbox_coder.target_means = [0.1, 0.0, 0.0, 0.0]


def other_coder(config):
    box_head(config).bbox_coder = dict(type='TBLRBBoxCoder')


def means_for_boxes_in_pixels(config):
    means(config)
    box_head(config).update(reg_decoded_bbox=True, loss_bbox=dict(type='GIoULoss'))


def unequal_proposal_stds(config):
    """Which are decoded before they turn."""
    config.rpn_head.bbox_coder.target_stds = [1.0, 0.5, 1.0, 1.0]


def unpaired_ratios(config):
    config.rpn_head.anchor_generator.ratios = [0.5, 1.0]


@pytest.mark.parametrize(
    ('change', 'transform', 'distill', 'message'),
    [
        (unequal_stds, Rotate(1), {}, r'stds \[0.1, 0.2, 0.2, 0.2\] cannot be turned'),
        (unequal_stds, Rotate(3), dict(roi_bbox='soft'), 'cannot be turned'),
        (unequal_stds, Rotate(1), dict(roi_bbox='off'), None),
        (unequal_stds, Rotate(2), {}, None),
        (unequal_stds, Scale(0.5), {}, None),
        (means, Rotate(2), {}, 'cannot be turned'),
        (means_for_boxes_in_pixels, Rotate(2), {}, None),
        (other_coder, Rotate(2), {}, r'TBLRBBoxCoder.*cannot be turned'),
        (unequal_proposal_stds, Rotate(1), dict(rpn_bbox='soft'), None),
        (unpaired_ratios, Rotate(1), {}, 'no counterparts under a quarter turn'),
        (unpaired_ratios, Rotate(1), dict(rpn_cls='hard'), None),
        (unpaired_ratios, Rotate(2), {}, None),
    ],
)
def test_what_cannot_be_turned_is_refused(change, transform, distill, message):
    config = detector_config(mask=False, distill=distill)
    change(config)
    model = build(config)
    data = taught(model, batch(mask=False))
    if message is None:
        subnet_losses(model, data, transform)
    else:
        with pytest.raises(ConfigError, match=message):
            subnet_losses(model, data, transform)


def test_a_later_stage_of_a_cascade():
    config = two_stage_config('cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco')
    config.roi_head.bbox_head[2].bbox_coder.target_stds = [0.033, 0.033, 0.067, 0.1]
    model = build(config)
    with pytest.raises(ConfigError, match='cannot be turned'):
        subnet_losses(model, taught(model, batch()), Rotate(1))
