"""Which targets an output has, as configured: soft, hard, both or none, and how much of each."""

import functools

import pytest
import torch

from mmgradaug.detection.distillation import DistillConfig, Target, find_distillers
from mmgradaug.errors import ConfigError
from mmgradaug.transforms import Scale
from tests.detection.passes import SOFT, subnet_losses, taught
from tests.networks import batch, build, dense_config, detector_config

FCOS = functools.partial(dense_config, 'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco', None)
ATSS = functools.partial(dense_config, 'atss/atss_r50_fpn_1x_coco', None)
GFL = functools.partial(dense_config, 'gfl/gfl_r50_fpn_1x_coco', None)
NAMES = {'roi_mask': 'mask', 'dense_quality': 'dense_centerness'}  # of losses, where not the key


@pytest.mark.parametrize(
    ('config', 'key'),
    [(detector_config, key) for key in SOFT]
    + [(FCOS, key) for key in ('dense_cls', 'dense_bbox', 'dense_quality')],
)
def test_every_axis_turns(config, key):
    keys = SOFT if config is detector_config else ('dense_cls', 'dense_bbox', 'dense_quality')
    model = build(config())
    for mode in ('soft', 'hard', 'both', 'off', dict(soft=0.5, hard=2.0)):
        model._config = DistillConfig.parse(dict.fromkeys(keys, 'off') | {key: mode})
        model._distillers, _ = find_distillers(model, model._config)
        losses = subnet_losses(model, taught(model, batch(size=64)), Scale(0.5), width=0.5)
        found = {k for k, v in losses.items() if 'loss' in k and 'untrained' not in k and v != 0}
        kinds = {'off': [], 'soft': ['soft'], 'hard': ['hard']}.get(str(mode), ['soft', 'hard'])
        assert found == {f'loss_{NAMES.get(key, key)}_{kind}' for kind in kinds}


@pytest.mark.parametrize(('config', 'key', 'other'), [
    (detector_config, 'roi_cls', 'loss_mask'), (ATSS, 'dense_cls', 'loss_dense_centerness'),
])  # fmt: skip
def test_weights_scale_losses_and_warm_up_scales_soft_ones(config, key, other):
    losses = []
    for options in ({key: 'both'}, {key: dict(soft=3.0, hard=0.5), 'warmup_iters': 10}):
        model = build(config(distill=options))
        data = taught(model, batch())
        model.gradaug_iteration = 5
        losses.append(subnet_losses(model, data, Scale(0.5), 0.5))
    base, scaled = losses
    torch.testing.assert_close(scaled[f'loss_{key}_soft'], base[f'loss_{key}_soft'] * 1.5)
    torch.testing.assert_close(scaled[f'loss_{key}_hard'], base[f'loss_{key}_hard'] * 0.5)
    torch.testing.assert_close(scaled[f'{other}_soft'], base[f'{other}_soft'] * 0.5)


def test_soft_losses_count_in_full_outside_of_training():
    config = DistillConfig.parse(dict(soft=1.0, warmup_iters=10))
    assert [config.soft_ramp(iteration) for iteration in (-1, 0, 5, 20)] == [1.0, 0.0, 0.5, 1.0]


@pytest.mark.parametrize(('config', 'probabilities', 'boxes'), [
    (detector_config, ['rpn_cls', 'roi_cls', 'mask'], ['rpn_bbox', 'roi_bbox']),
    (ATSS, ['dense_cls', 'dense_centerness'], ['dense_bbox']),
    (GFL, ['dense_cls', 'dense_dfl'], ['dense_bbox']),
])  # fmt: skip
def test_labels_are_the_default_and_soft_adds_losses_of_probabilities(config, probabilities, boxes):
    hard = {f'loss_{name}_hard' for name in probabilities + boxes}
    soft = {f'loss_{name}_soft' for name in probabilities}
    losses = {}
    for weight in (0.0, 0.5, 1.5):
        model = build(config(distill=dict(soft=weight)))
        losses[weight] = subnet_losses(model, taught(model, batch()), Scale(0.5), 0.5)
        found = {key for key in losses[weight] if key.endswith(('_hard', '_soft'))}
        assert found == (hard | soft if weight else hard)
    for key in soft:
        assert losses[0.5][key] != 0
        torch.testing.assert_close(losses[1.5][key], 3 * losses[0.5][key])
    parsed = DistillConfig.parse(dict(soft=0.5))
    assert (parsed.dense_quality, parsed.dense_bbox) == (Target(0.5, 1.0), Target(0.0, 1.0))
    assert DistillConfig.parse(None) == DistillConfig.parse(dict(soft=0.0))


@pytest.mark.parametrize(('distill', 'message'), [
    (dict(soft='both'), "soft must be a weight, 0.5 for instance, got 'both'"),
    (dict(roi_class='soft'), "unknown key 'roi_class' .did you mean 'roi_cls'.., expected some of"),
    (dict(roi_cls=dict(soft=-1)), 'roi_cls must be'),
    (dict(max_rois=0), 'max_rois must be'),
    ('label', "must be 'labels' or a dict of outputs, got 'label'"),
    (dict(warmup_iters=-1), 'warmup_iters must be'),
    (dict(dense_cls='soft', dense_bbox='off'),
     'has dense_cls, of a head that this detector does not have, expected some of roi_bbox, '
     'roi_cls, roi_mask, rpn_bbox, rpn_cls: '),
])  # fmt: skip
def test_bad_options_are_named(distill, message):
    with pytest.raises(ConfigError, match=message):
        build(detector_config(distill=distill))


def test_targets_of_other_heads_may_be_off():
    build(detector_config(mask=False, distill=dict(roi_mask='off', dense_cls='off')))
    with pytest.raises(ConfigError, match=r'has max_rois, of a head .* expected some of dense_b'):
        build(dense_config('retinanet/retinanet_r50_fpn_1x_coco', distill=dict(max_rois=3)))
