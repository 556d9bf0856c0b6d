"""Which targets an output has, as configured: soft, hard, both or none, and how much of each."""

import pytest
import torch

from mmgradaug.detection import detector
from mmgradaug.transforms import Scale
from tests.detection.passes import SOFT, subnet_losses, taught
from tests.networks import batch, build, dense_config, detector_config


@pytest.mark.parametrize('key', ['rpn_cls', 'rpn_bbox', 'roi_cls', 'roi_bbox', 'roi_mask'])
@pytest.mark.parametrize('mode', ['soft', 'hard', 'both', 'off', dict(soft=0.5, hard=2.0)])
def test_every_axis_turns(key, mode):
    off = dict.fromkeys(SOFT, 'off')
    model = build(detector_config(distill=off | {key: mode}))
    data = taught(model, batch())
    losses = subnet_losses(model, data, Scale(0.5), width=0.5)
    found = {k for k, v in losses.items() if 'loss' in k and 'untrained' not in k and v != 0}
    name = f'loss_{key}'.replace('roi_mask', 'mask')
    kinds = {'soft': 's', 'hard': 'h', 'both': 'sh', 'off': ''}.get(
        mode if isinstance(mode, str) else 'both'
    )
    expected = {f'{name}_{kind}' for kind in ('soft', 'hard') if kind[0] in kinds}
    assert found == expected


def test_weights_scale_losses_and_warm_up_scales_soft_ones():
    one = build(detector_config(distill=SOFT | dict(roi_cls=dict(soft=1.0, hard=1.0))))
    data = taught(one, batch())
    base = subnet_losses(one, data, Scale(0.5), 0.5)
    other = build(
        detector_config(distill=SOFT | dict(roi_cls=dict(soft=3.0, hard=0.5), warmup_iters=10))
    )
    taught(other, batch())
    other.gradaug_iteration = 5
    scaled = subnet_losses(other, data, Scale(0.5), 0.5)
    torch.testing.assert_close(scaled['loss_roi_cls_soft'], base['loss_roi_cls_soft'] * 1.5)
    torch.testing.assert_close(scaled['loss_roi_cls_hard'], base['loss_roi_cls_hard'] * 0.5)
    torch.testing.assert_close(scaled['loss_mask_soft'], base['loss_mask_soft'] * 0.5)


@pytest.mark.parametrize(
    ('distill', 'message'),
    [
        (dict(roi_cls='sort'), "roi_cls must be one of .*got 'sort'"),
        (dict(roi_class='soft'), "unknown keys \\['roi_class'\\], expected some of"),
        (dict(roi_cls=dict(soft=-1)), 'roi_cls must be'),
        (dict(max_rois=0), 'max_rois must be'),
        ('label', "must be 'labels' or a dict of outputs, got 'label'"),
        (dict(warmup_iters=-1), 'warmup_iters must be'),
        (
            dict(dense_cls='soft', dense_bbox='off'),
            r'has dense_cls, of heads that this detector does not have, expected some of rpn_bbox, '
            'rpn_cls, roi_cls, roi_bbox, roi_mask, max_rois, warmup_iters: ',
        ),
    ],
)
def test_bad_options_are_named(distill, message):
    with pytest.raises(ValueError, match=message):
        build(detector_config(distill=distill))


def test_targets_without_effect_are_told(monkeypatch):
    said = []
    monkeypatch.setattr(detector, 'print_log', lambda text, **kwargs: said.append(text))
    build(detector_config(mask=False, distill=dict(roi_mask='soft', max_rois=3)))
    assert 'gradaug.distill.roi_mask has no effect: expected some of rpn_bbox' in said.pop()
    build(detector_config(mask=False, distill=dict(roi_mask='off', dense_cls='off')))
    build(detector_config(num_subnets=0, distill=dict.fromkeys(SOFT, 'off')))
    assert said == []
    with pytest.raises(ValueError, match=r'has max_rois, of heads .* expected some of dense_b'):
        build(dense_config('retinanet/retinanet_r50_fpn_1x_coco', distill=dict(max_rois=3)))


def test_sub_networks_that_learn_nothing_are_told():
    model = build(detector_config(mask=False, distill=dict.fromkeys(SOFT, 'off')))
    assert "'off' for every output of this detector (rpn_bbox, rpn_cls, " in model.idle_subnets()
    for distill in (dict(roi_cls='off'), 'labels', None):
        assert build(detector_config(distill=distill)).idle_subnets() is None
