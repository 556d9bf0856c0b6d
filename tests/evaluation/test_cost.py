"""Training steps of detectors and classifiers, and the tool that compares their cost."""

import json
from functools import partial

import pytest
import torch
from mmcv.ops import DeformConv2dPack, ModulatedDeformConv2dPack
from mmdet.models.backbones import ResNeXt
from mmengine.config import Config
from mmengine.logging import MessageHub
from torch import nn

from mmgradaug.evaluation import cost
from mmgradaug.evaluation.cost import StepCost, build_models, measure_costs
from mmgradaug.evaluation.random_batch import random_batch
from tests.classification import tiny
from tests.detection.test_detector import rpn
from tests.detection.test_semantic import panoptic_model
from tests.networks import ROOT, build, dense_config, detector_config
from tests.training.steps import amp_on_cpu
from tools import benchmark

NAMES = ['plain', 'plain, slimmable backbone', 'GradAug']
CLASSIFIER = dict(backbone=dict(type='SlimmableResNet', depth=18, out_indices=(3,)))


def models_of(model, variants=()):
    return build_models(Config(dict(model=model)), variants)


@pytest.mark.parametrize(('config', 'size'), [
    (partial(detector_config, False, num_subnets=2, transform=None, min_width=0.5), 64),
    (partial(tiny.config, gradaug=dict(transform=None), **CLASSIFIER), 128),
], ids=['detector', 'classifier'])  # fmt: skip
def test_costs_of_small_models(config, size):
    models = models_of(config())
    data = random_batch(models['plain'], (size, size), 1)
    plain, slim, gradaug = measure_costs(models, data, rounds=2, warmup=0, memory_rounds=1)
    assert [plain.name, slim.name, gradaug.name] == NAMES
    assert plain.train_flops == slim.train_flops > 0
    assert plain.predict_flops == slim.predict_flops == gradaug.predict_flops > 0
    # Two sub-networks of half to full width on images of the same size.
    assert 1.3 < gradaug.train_flops / plain.train_flops < 3.0
    assert all(len(c.seconds) == 2 for c in (plain, slim, gradaug))
    assert list(gradaug.passes) == ['full', 'subnet1', 'subnet2']
    assert plain.passes == {}
    assert 1.0 <= slim.peak_bytes / plain.peak_bytes < 1.01
    assert gradaug.peak_bytes / plain.peak_bytes < 1.5  # three passes at a time would be 2 to 3


def test_a_detector_that_asks_for_the_epoch_is_measured():
    MessageHub.get_instance('without_a_runner')
    model = build(dense_config('tood/tood_r50_fpn_1x_coco'))
    (found,) = measure_costs({'GradAug': model}, random_batch(model, (64, 64)), 'cpu', 1, 0)
    assert found.train_flops > 0


def one_class():
    """A detector of one class on images of one channel."""
    cfg = detector_config()
    cfg.roi_head.bbox_head.num_classes = cfg.roi_head.mask_head.num_classes = 1
    cfg.backbone.in_channels = 1
    cfg.data_preprocessor.update(mean=[120.0], std=[60.0], bgr_to_rgb=False)
    return build(cfg)


@pytest.mark.parametrize(('built', 'channels', 'labels'), [
    (one_class, 1, {'masks'}), (rpn, 3, set()), (panoptic_model, 3, {'masks', 'sem_seg'}),
])  # fmt: skip
def test_batches_have_the_labels_that_a_detector_reads(built, channels, labels):
    model = built()
    data = random_batch(model, (64, 96), 2, channels, objects=8)
    assert [tuple(image.shape) for image in data['inputs']] == [(channels, 64, 96)] * 2
    sample = data['data_samples'][0]
    assert len(sample.gt_instances) == 8
    assert ('masks' in sample.gt_instances) == ('masks' in labels)
    assert ('gt_sem_seg' in sample) == ('sem_seg' in labels)
    assert cost._Steps(model, data, 'cpu').take(0)['loss'].isfinite()


def test_labels_are_of_all_the_detectors_classes():
    model = build(detector_config())
    for head in (model.roi_head.bbox_head, model.roi_head.mask_head):
        head.num_classes = 1203
    samples = random_batch(model, (64, 96))['data_samples']
    assert [s.gt_instances.labels.tolist() for s in samples] == [[0, 601, 1202], [601, 1202, 0]]
    sample = random_batch(panoptic_model(), (64, 96))['data_samples'][0]
    assert sample.gt_sem_seg.sem_seg.unique().tolist() == [0, 1, 2, 3, 4]  # 3 things, 2 stuff


@pytest.mark.parametrize(('config', 'classes'), [
    (detector_config, ['MaskRCNN', 'MaskRCNN', 'GradAugMaskRCNN']),
    (tiny.config, ['Classifier', 'Classifier', 'GradAugClassifier']),
])  # fmt: skip
def test_models_start_from_the_same_weights(config, classes):
    options = 'gradaug.width_step=0.25 gradaug.distill=labels backbone.width_divisor=4'
    models = models_of(config(), [options])
    assert list(models) == [*NAMES, f'GradAug, {options}']
    *kinds, varied = models.values()
    assert [type(m).__name__ for m in kinds] == classes
    assert (varied.sampler.width_step, varied.backbone.width_divisor) == (0.25, 4)
    gradaug = kinds[-1]
    assert (gradaug.sampler.width_step, gradaug.backbone.width_divisor) == (None, 1)
    states = [m.state_dict() for m in (*kinds, varied)]
    assert all(torch.equal(states[0][k], s[k]) for s in states[1:] for k in states[0])


def test_the_plain_model_of_a_resnext_is_mmdets():
    model = detector_config(mask=False)
    options = dict(groups=4, base_width=2, regulariser=dict(type='StochasticDepth'))
    model.backbone = dict(type='SlimmableResNeXt', depth=50, base_channels=8, **options)
    model.neck.in_channels = [32, 64, 128, 256]
    models = models_of(model)
    assert type(models['plain'].backbone) is ResNeXt
    states = [m.state_dict().keys() for m in models.values()]
    assert all(keys == states[0] for keys in states)


@pytest.mark.slow
@pytest.mark.parametrize('scale', [1.0, 0.8, 0.6])
def test_peak_memory_of_the_main_config_is_a_plain_steps(scale):
    cfg = Config.fromfile(f'{ROOT}/configs/mask_rcnn_r50_gradaug_1x.py')
    cfg.model.gradaug.transform.scales = [scale]
    models = build_models(cfg)
    data = random_batch(models['plain'], (320, 512), objects=8)
    steps = [cost._Steps(models[name], data, 'cpu') for name in ('plain', 'GradAug')]
    for step in steps:
        step.take(0)  # the optimizer's state stands from here on
    peaks = [step.peak_bytes(0) for step in steps]
    assert peaks[1] <= 1.03 * peaks[0]


def test_peak_is_the_most_alive_at_a_time():
    def allocate():
        for _ in range(3):
            a = torch.zeros(1000, 100)
            b = torch.zeros(500, 100)
            del a, b

    assert abs(cost.peak_allocation(allocate) - 600_000) < 1000


@pytest.mark.parametrize('groups', [1, 4])
def test_flops_of_a_convolutions_gradients_are_twice_its_own(groups):
    conv = nn.Conv2d(8, 16, 3, padding=1, groups=groups, bias=False)
    x = torch.zeros(2, 8, 5, 5, requires_grad=True)
    forward = cost.count_flops(lambda: conv(x))
    assert forward == 2 * 2 * 16 * (8 // groups) * 9 * 25
    assert cost.count_flops(lambda: conv(x).sum().backward()) == 3 * forward


def test_steps_in_half_precision_are_measured_if_asked():
    models = {'plain': tiny.build('Classifier')}
    with amp_on_cpu():
        (found,) = measure_costs(models, tiny.batch(), rounds=1, warmup=0, amp=True)
    (whole,) = measure_costs(models, tiny.batch(), rounds=1, warmup=0)
    assert found.peak_bytes < whole.peak_bytes


@pytest.mark.parametrize('cls', [DeformConv2dPack, ModulatedDeformConv2dPack])
def test_flops_of_a_deformable_convolution_are_a_convolutions_and_its_offsets(cls):
    layer, x = cls(8, 16, 3, padding=1, bias=False), torch.zeros(2, 8, 5, 5)
    offsets = cost.count_flops(lambda: layer.conv_offset(x))
    assert cost.count_flops(lambda: layer(x)) == offsets + 2 * 2 * 16 * 8 * 9 * 25


def test_networks_of_other_packages_are_found():
    model = tiny.config(gradaug=dict(min_width=1.0), in_channels=3)
    model['backbone'] = dict(type='torch.nn.Identity')
    assert isinstance(models_of(model)['plain'].backbone, nn.Identity)


def test_warm_up_draws_what_is_measured_if_asked(monkeypatch):
    model = tiny.build()
    data = random_batch(model, (32, 32), 1)
    for same, expected in ((False, [-3, -2, -1, 0, 1]), (True, [1, 0, 1, 0, 1])):
        seen = []
        take = lambda _, index, seen=seen: seen.append(index) or {}  # noqa: E731
        monkeypatch.setattr(cost._Steps, 'take', take)
        (found,) = measure_costs({'GradAug': model}, data, rounds=2, warmup=3, same_draws=same)
        assert seen[:5] == expected
        assert len(found.seconds) == 2
    # Ratios are of steps of the same round.
    slow = StepCost('', 6.0, 0.0, 10, [2.0, 40.0, 6.0])
    fast = StepCost('', 2.0, 0.0, 10, [1.0, 10.0, 3.0])
    assert slow.summary(fast)['ratio'] == {'flops': 3.0, 'time': 2.0, 'memory': 1.0}


def test_the_tool_prints_ratios_and_passes(tmp_path, capsys):
    """Of random images half have no label, as the config's loader says."""
    model = tiny.config(gradaug=dict(distill=dict(unlabelled=1.0)), **CLASSIFIER)
    sampler = dict(type='LabelledAndUnlabelled', unlabelled=50)
    path, told = tmp_path / 'tiny.py', tmp_path / 'steps.json'
    loader = dict(batch_size=50, batch_sampler=sampler)
    path.write_text(f"default_scope = 'mmdet'\n{model = }\ntrain_dataloader = {loader!r}\n")
    words = f'--size 32 32 --batch 4 --rounds 1 --warmup 0 --device cpu --out {told}'
    benchmark.main([str(path), *words.split()])
    steps = json.loads(told.read_text())
    assert list(steps) == NAMES
    plain, gradaug = steps['plain'], steps['GradAug']
    assert plain['quartiles'] == [plain['seconds']] * 2 and plain['peak_MB'] > 0
    assert set(plain['ratio'].values()) == {1.0}
    assert gradaug['GFLOPs'] / plain['GFLOPs'] == gradaug['ratio']['flops'] > 1
    out = capsys.readouterr().out
    assert '4 images of 32 x 32 pixels, 1 rounds, cpu' in out
    assert 'slimmable' in out and '1.000' in out
    assert 'GradAug, subnet2: ' in out
    assert 'KaimingInit' not in out  # mmengine's list of every weight
