import pytest
import torch
from mmdet.models.backbones import ResNeXt
from mmengine.config import Config
from torch import nn

from mmgradaug.evaluation import cost
from mmgradaug.evaluation.cost import StepCost, measure_costs
from mmgradaug.evaluation.cost_kinds import build_kinds, random_batch
from tests.detection.test_semantic import panoptic_model
from tests.networks import ROOT, build, detector_config, mmdet_config


def test_costs_of_a_small_detector():
    model = detector_config(mask=False, num_subnets=2, transform=None, min_width=0.5)
    cfg = Config(dict(model=model))
    plain, slim, gradaug = measure_costs(cfg, (64, 64), 1, 2, 0, 'cpu', memory_rounds=1)
    assert plain.train_flops == slim.train_flops > 0
    assert plain.predict_flops == slim.predict_flops == gradaug.predict_flops > 0
    # Two sub-networks of half to full width on images of the same size.
    assert 1.3 < gradaug.train_flops / plain.train_flops < 3.0
    assert all(len(c.seconds) == 2 for c in (plain, slim, gradaug))
    assert list(gradaug.passes) == ['full', 'subnet1', 'subnet2']
    assert plain.passes == {}
    assert 1.0 <= slim.peak_bytes / plain.peak_bytes < 1.01
    assert gradaug.peak_bytes / plain.peak_bytes < 1.5  # three passes at a time would be 2 to 3


def one_class():
    """A detector of one class on images of one channel."""
    cfg = detector_config()
    for head in (cfg.roi_head.bbox_head, cfg.roi_head.mask_head):
        head.num_classes = 1
    cfg.backbone.in_channels = 1
    cfg.data_preprocessor.update(mean=[120.0], std=[60.0], bgr_to_rgb=False)
    return build(cfg)


def rpn():
    """A detector without a box head."""
    cfg = mmdet_config('rpn/rpn_r50_fpn_1x_coco').model
    tiny = detector_config()
    cfg.update(backbone=tiny.backbone, neck=tiny.neck, rpn_head=tiny.rpn_head)
    cfg.update(type='GradAugDetector', detector='RPN', gradaug=tiny.gradaug)
    return build(cfg)


@pytest.mark.parametrize(('built', 'channels', 'labels'), [
    (one_class, 1, {'masks'}), (rpn, 3, set()), (panoptic_model, 3, {'masks', 'sem_seg'}),
])  # fmt: skip
def test_batches_have_the_labels_that_a_detector_reads(built, channels, labels):
    model = built()
    data = random_batch(model, (64, 96), 2, channels)
    assert [tuple(image.shape) for image in data['inputs']] == [(channels, 64, 96)] * 2
    sample = data['data_samples'][0]
    assert len(sample.gt_instances) == 8
    assert ('masks' in sample.gt_instances) == ('masks' in labels)
    assert ('gt_sem_seg' in sample) == ('sem_seg' in labels)
    log = cost._Runner(model, data, 'cpu').step(0)
    assert log['loss'].isfinite()


def test_kinds_start_from_the_same_weights():
    models = list(build_kinds(Config(dict(model=detector_config()))).values())
    names = [type(m).__name__ for m in models]
    assert names == ['MaskRCNN', 'MaskRCNN', 'GradAugMaskRCNN']
    states = [m.state_dict() for m in models]
    assert all(torch.equal(states[0][k], s[k]) for s in states[1:] for k in states[0])


@pytest.mark.slow
@pytest.mark.parametrize('scale', [1.0, 0.8, 0.6])
def test_peak_memory_of_the_main_config_is_a_plain_steps(scale):
    cfg = Config.fromfile(f'{ROOT}/configs/mask_rcnn_r50_gradaug_1x.py')
    cfg.model.gradaug.transform.scales = [scale]
    kinds = build_kinds(cfg)
    data = random_batch(kinds['plain'], (320, 512), 2)
    runners = [cost._Runner(kinds[name], data, 'cpu') for name in ('plain', 'GradAug')]
    for runner in runners:
        runner.step(0)  # the optimizer's state stands from here on
    peaks = [runner.peak_bytes(0) for runner in runners]
    assert peaks[1] <= 1.03 * peaks[0]


def test_variants_are_further_kinds_from_the_same_weights():
    cfg = Config(dict(model=detector_config(num_subnets=1)))
    options = 'gradaug.width_step=0.25 backbone.width_divisor=4'
    kinds = build_kinds(cfg, [options])
    varied, gradaug = kinds[f'GradAug, {options}'], kinds['GradAug']
    assert (varied.sampler.width_step, varied.backbone.width_divisor) == (0.25, 4)
    assert (gradaug.sampler.width_step, gradaug.backbone.width_divisor) == (None, 1)
    assert torch.equal(varied.backbone.conv1.weight, gradaug.backbone.conv1.weight)


def test_peak_is_the_most_alive_at_a_time():
    def allocate():
        for _ in range(3):
            a = torch.zeros(1000, 100)
            b = torch.zeros(500, 100)
            del a, b

    assert abs(cost.peak_allocation(allocate) - 600_000) < 1000


def test_flops_count_multiply_and_add():
    layer = nn.Linear(10, 20, bias=False)
    assert cost.count_flops(lambda: layer(torch.zeros(3, 10))) == 2 * 3 * 10 * 20


@pytest.mark.parametrize('groups', [1, 4])
def test_flops_of_a_convolutions_gradients_are_twice_its_own(groups):
    conv = nn.Conv2d(8, 16, 3, padding=1, groups=groups, bias=False)
    x = torch.zeros(2, 8, 5, 5, requires_grad=True)
    forward = cost.count_flops(lambda: conv(x))
    assert forward == 2 * 2 * 16 * (8 // groups) * 9 * 25
    assert cost.count_flops(lambda: conv(x).sum().backward()) == 3 * forward


def test_the_plain_model_of_a_resnext_is_mmdets():
    model = detector_config(mask=False)
    options = dict(groups=4, base_width=2, regulariser=dict(type='StochasticDepth'))
    model.backbone = dict(type='SlimmableResNeXt', depth=50, base_channels=8, **options)
    model.neck.in_channels = [32, 64, 128, 256]
    kinds = build_kinds(Config(dict(model=model)))
    assert type(kinds['plain'].backbone) is ResNeXt
    states = [kinds[name].state_dict().keys() for name in kinds]
    assert all(keys == states[0] for keys in states)


def test_median_and_quartiles():
    step = StepCost('plain', seconds=[1.0, 2.0, 3.0, 4.0, 5.0])
    assert step.median == 3.0
    assert step.spread == (2.0, 4.0)
