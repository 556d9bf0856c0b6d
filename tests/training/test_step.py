"""The training step: gradients summed, one optimizer step, whatever the optimizer wrapper.

And what passes are given and leave: labels of their own, and counts of the full pass.
"""

import copy
import dataclasses
from functools import partial
from unittest import mock

import mmdet.models
import pytest
import torch
import torch.nn.functional as F
from mmdet.structures.mask import BitmapMasks
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from mmengine.structures import BaseDataElement
from torch import nn

from mmgradaug.errors import ConfigError
from mmgradaug.training import step
from mmgradaug.training.sampler import Subnet
from mmgradaug.training.step import run_pass, running_as, transformed
from mmgradaug.transforms import DrawnChain, GeometricMap, Rotate, Scale
from tests.classification import tiny
from tests.networks import batch, build, dense_config, detector_config, stock_config
from tests.oracles import assert_equal
from tests.training.steps import assert_close, frozen_norms, gradients, sgd, step_gradients


@pytest.mark.parametrize(('counts', 'total'), [(1, 1), (2, 2), (3, 3), (2, 3)])
def test_the_optimizer_steps_once_along_the_mean_of_the_batches_sums(counts, total):
    """Also of a last group that is not full: mmengine divides by its size."""
    model = build(frozen_norms())
    batches = [batch((2, index)) for index in range(total)]
    expected = {}
    for index, data in enumerate(batches):
        twin = copy.deepcopy(model)
        twin.gradaug_iteration = index - 1
        size = counts if index < total // counts * counts else total % counts
        for name, gradient in step_gradients(twin, data, index).items():
            expected[name] = expected.get(name, 0) + gradient / size
    wrapper = sgd(model, accumulative_counts=counts)
    wrapper.initialize_count_status(model, 0, total)
    steps = []
    wrapper.optimizer.register_step_post_hook(lambda *_: steps.append(wrapper.inner_count))
    for index, data in enumerate(batches):
        torch.manual_seed(index)
        model.train_step(copy.deepcopy(data), wrapper)
    assert_close(gradients(model), expected, 2e-5)
    assert steps == sorted({counts, total})


def test_clipping_clips_the_sum():
    model, data = build(detector_config()), batch()
    whole = step_gradients(copy.deepcopy(model), data)
    norm = torch.nn.utils.get_total_norm(list(whole.values()))
    assert norm > 0.2
    expected = {k: g * 0.1 / (norm + 1e-6) for k, g in whole.items()}
    assert_close(step_gradients(model, data, clip_grad=dict(max_norm=0.1)), expected, 1e-4)


@pytest.mark.parametrize('kind', ['detector', 'classifier'])
def test_a_step_without_sub_networks_is_the_stock_step_bitwise(kind):
    """In all iterations or in some; the weights of passes do not count there, either."""
    configs = dict(num_subnets=0), dict(every=9, weights=dict(full=0.25, subnets=3))
    if kind == 'detector':
        batches = [batch((2, index)) for index in range(2)]
        stock, own = stock_config(detector_config()), [detector_config(**c) for c in configs]
        models = [build(config) for config in (stock, *own)]
    else:
        batches = [tiny.batch(seed=index) for index in range(2)]
        models = [tiny.build('Classifier'), *(tiny.build(gradaug=c) for c in configs)]
    for model in models:
        model.load_state_dict(models[0].state_dict())
    states, logs = [], []
    torch.use_deterministic_algorithms(True)
    for model in models:
        model.gradaug_iteration = 0  # so that the next ones are 1 and 2
        wrapper = sgd(model, lr=0.01, wrapper=OptimWrapper, clip_grad=dict(max_norm=5))
        for seed, data in enumerate(batches):
            torch.manual_seed(seed)
            log = model.train_step(copy.deepcopy(data), wrapper)
        states.append(model.state_dict())
        logs.append({k: v for k, v in log.items() if not k.startswith('full/')})
    torch.use_deterministic_algorithms(False)
    for state, log in zip(states, logs, strict=True):
        assert_equal(state, states[0])
        assert_equal(log, logs[0])


class WithDepth(mmdet.models.FasterRCNN):
    """A user's own, of images and their depths."""

    def forward(self, inputs, data_samples=None, mode='tensor', depth=None):
        return depth


def test_what_a_forward_takes_besides_reaches_stock_modes_alone():
    config = detector_config(mask=False)
    config.detector = WithDepth
    model = build(config)
    assert model(None, depth=3) == 3
    with pytest.raises(ConfigError, match='sub-networks have no depth beside'):
        model(None, mode='full', depth=3)


def test_weights_of_passes_are_factors_of_their_gradients():
    """And of the sum that is logged; the passes' own values are logged without."""
    model, found = tiny.build(gradaug=dict(num_subnets=1)), {}
    for full, subnets in ((1, 0), (0, 1), (0.25, 2.0)):
        twin = copy.deepcopy(model)
        twin.gradaug = dataclasses.replace(model.gradaug, weights=dict(full=full, subnets=subnets))
        log = twin.train_step(tiny.batch(), sgd(twin))
        of_full, of_subnet = float(log['full/loss']), float(log['subnet1/loss'])
        assert float(log['loss']) == pytest.approx(full * of_full + subnets * of_subnet)
        found[full] = gradients(twin)
    expected = {k: 0.25 * gradient + 2 * found[0][k] for k, gradient in found[1].items()}
    assert_close(found[0.25], expected, 1e-5)


def test_draws_follow_the_runners_seed_iteration_and_length():
    model = tiny.build(gradaug=dict(seed=None, active=(0.0, 0.5)))
    hub = MessageHub.get_instance('test_draws')
    hub.update_info('seed', 11)
    hub.update_info('max_iters', 10)
    for iteration in (0, 4, 5, 9, 4):  # the last as after a resume
        hub.update_info('iter', iteration)
        subnets = model.sample_subnets()
        assert subnets == model.sampler.sample(11, iteration, 10)
        assert len(subnets) == 2 * (iteration < 5)
    # A hub that an earlier runner left does not fix the draws: they go on as if steps were counted.
    later = [model.sample_subnets() for _ in range(2)]
    assert later == [model.sampler.sample(11, iteration) for iteration in (5, 6)]


def test_loss_that_is_not_finite_stops_before_the_weights_change(monkeypatch):
    model = build(detector_config(num_subnets=2, transform=dict(type='RandomScale', scales=[0.5])))
    before = copy.deepcopy(model.state_dict())
    calls = []
    original = model.subnet_loss

    def second_is_infinite(*args):
        calls.append(1)
        return {k: v * (float('inf') if len(calls) == 2 else 1) for k, v in original(*args).items()}

    monkeypatch.setattr(model, 'subnet_loss', second_is_infinite)
    data = batch()
    for name, sample in zip('ab', data['data_samples'], strict=True):
        sample.set_metainfo(dict(img_path=f'{name}.jpg'))
    words = r'pass 2 \(a sub-network of width 0\.\d+ at scale 0\.5.* labels, of a\.jpg, b\.jpg$'
    with pytest.raises(ConfigError, match=words):
        model.train_step(data, sgd(model, lr=0.1, wrapper=OptimWrapper))
    parameters = dict(model.named_parameters())
    assert all(torch.equal(parameters[k], before[k]) for k in parameters)
    assert not gradients(model)


def test_a_step_logs_its_passes_and_leaves_the_full_network_behind():
    model = build(detector_config(num_subnets=2, min_width=0.5))
    log = model.train_step(batch(), sgd(model))
    for name in ('loss', 'full/loss', 'full/seconds', 'loss_rpn_cls', 'loss_cls', 'loss_mask'):
        assert name in log
    for name in ('width', 'scale', 'turns', 'seconds', 'agree_roi_cls', 'agree_mask', 'agree_rpn'):
        assert f'subnet1/{name}' in log and f'subnet2/{name}' in log
    for name in ('rpn_cls_soft', 'roi_cls_soft', 'roi_bbox_hard', 'mask_soft'):
        assert f'subnet1/loss_{name}' in log and f'subnet2/loss_{name}' in log
    assert log['subnet1/width'] == 0.5
    parts = log['full/loss'] + log['subnet1/loss'] + log['subnet2/loss']
    torch.testing.assert_close(log['loss'], parts)
    assert not any('untrained' in key for key in log)
    assert model.backbone.conv1.width is None
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(norm.track_running_stats for norm in norms)
    rpn, roi = model._distillers
    assert rpn.teacher is roi.stages[0].boxes is roi.stages[0].masks is None


@pytest.mark.parametrize('divisor', [1, 32])
@pytest.mark.parametrize(('images', 'size', 'side'), [(2, 64, 32), (1, 64, 33), (1, 32, 33)])
def test_a_scale_below_the_stride_is_limited_for_that_batch(
    images, size, side, divisor, monkeypatch
):
    """A ResNet's last cell is 32 pixels; BatchNorm of a single image needs two of them."""
    if divisor == 1:
        size -= 4  # which the pipeline has not padded
        side = round(0.2 * size) if images > 1 else side  # BatchNorm has two values
    told = []
    monkeypatch.setattr(step, 'print_log', lambda text, **kwargs: told.append(text))
    scales = [dict(type='RandomRotate'), dict(type='RandomScale', scales=[0.2])]
    model = build(detector_config(num_subnets=2, transform=scales)).train()
    model.backbone.norm_eval = True  # or the full network's would need two values, too
    model.backbone.train()
    model.data_preprocessor.pad_size_divisor = divisor
    for number in (size, size, 3 * size if size > 40 else 6 * size):
        data = batch((2,) * images, size=number)
        with mock.patch.object(model, 'forward', wraps=model.forward) as forward:
            model.train_step(data, sgd(model))
        passes = [c for c in forward.call_args_list if c.kwargs.get('mode') == 'subnet']
        assert len(passes) == 2
        limit = max(side, round(0.2 * number))
        for call in passes:
            inputs, mapping = call.kwargs['inputs'], call.kwargs['mapping']
            assert mapping == GeometricMap((number, number), (limit, limit), mapping.turns)
            assert max(inputs.shape[-2:]) == -(-limit // divisor) * divisor
    assert len(told) == (side != round(0.2 * size))


def test_each_axis_is_limited_alone_and_narrow_strips_stay():
    model = build(detector_config())
    strip = model.data_preprocessor(batch(size=64), True)['inputs'][..., :40]
    scaled = Scale(0.4, align_corners=True)
    moved, mapping = transformed(model, scaled, strip)
    assert mapping == GeometricMap((64, 40), (32, 32))
    assert torch.equal(moved, F.interpolate(scaled(strip)[0], (32, 32), mode='bilinear'))
    long = torch.rand(1, 3, 40, 500)
    moved, mapping = transformed(model, scaled, long)
    assert torch.equal(moved, scaled(long)[0]) and mapping.out_size == (16, 200)
    assert model.pad_images(moved, mapping.in_size).shape[-2:] == (32, 224)
    model.data_preprocessor.pad_size_divisor = 1
    assert model.pad_images(moved, mapping.in_size).shape[-2:] == (16, 200)
    assert model.pad_images(moved, (64, 512)).shape[-2:] == (32, 224)  # as a pipeline padded them


def test_a_compiled_step_trains_as_an_eager_one_bitwise():
    """A runner's ``compile`` key replaces ``train_step``; the passes stay eager."""
    states = []
    for compiled in (False, True):
        model = tiny.build()
        if compiled:
            model.train_step = torch.compile(model.train_step, backend='eager')
        wrapper = sgd(model, lr=0.05, wrapper=OptimWrapper)
        for seed in range(2):
            model.train_step(tiny.batch(seed=seed), wrapper)
        states.append(model.state_dict())
    assert_equal(*states)


def contents(value):
    """All that a data sample holds, as plain values that can be compared."""
    if isinstance(value, BaseDataElement):
        items = [*value.metainfo_items(), *value.items()]
        return type(value), {key: contents(item) for key, item in items}
    if isinstance(value, BitmapMasks):
        return value.masks.tolist()
    if isinstance(value, list):
        return [contents(item) for item in value]
    return value.tolist() if hasattr(value, 'tolist') else copy.deepcopy(value)


@pytest.mark.parametrize('distill', [None, 'labels'])
def test_no_pass_changes_what_the_others_are_given(distill, monkeypatch):
    """Heads of mmdet replace fields of their data samples; here everything is replaced."""
    model = build(detector_config(distill=distill))
    data = model.data_preprocessor(batch(semantic=True), True)
    before, images, seen = contents(data['data_samples']), data['inputs'].clone(), []
    forward = model.forward

    def greedy(inputs, data_samples, **kwargs):
        seen.append(contents(data_samples))
        losses = forward(inputs, data_samples, **kwargs)
        for sample in data_samples:
            sample.gt_instances.labels = sample.gt_instances.labels * 0
            sample.gt_instances.bboxes = sample.gt_instances.bboxes + 7
            del sample.gt_instances.masks
            sample.set_metainfo(dict(img_shape=(1, 1)))
            del sample.ignored_instances, sample.gt_sem_seg.sem_seg
        return losses

    monkeypatch.setattr(model, 'forward', greedy)
    turned = DrawnChain((Rotate(1), Scale(0.75)))
    for subnet in (None, Subnet(0.5, Scale(0.5)), Subnet(0.7, turned)):
        with running_as(model, subnet):
            run_pass(model, data, subnet)
    assert seen == [before] * 3
    assert contents(data['data_samples']) == before
    assert torch.equal(data['inputs'], images)


GHM = dict(
    loss_cls=dict(type='GHMC', bins=30, momentum=0.75, use_sigmoid=True),
    loss_bbox=dict(type='GHMR', mu=0.02, bins=10, momentum=0.7),
)


def seesaw_config(**gradaug):
    model = detector_config(**gradaug)
    model.roi_head.bbox_head.loss_cls = dict(type='SeesawLoss', num_classes=3)
    return model


@pytest.mark.parametrize(('config', 'distill', 'buffer'), [
    (partial(dense_config, 'retinanet/retinanet_r50_fpn_1x_coco', GHM), None, 'acc_sum'),
    (seesaw_config, 'labels', 'cum_samples'),
], ids=['distilled', 'labels'])  # fmt: skip
def test_what_losses_count_is_of_the_full_pass(config, distill, buffer):
    """As BatchNorm's running statistics are."""
    model, data = build(config(distill=distill)), batch(size=64)
    full = copy.deepcopy(model)
    torch.manual_seed(0)
    full(**full.data_preprocessor(copy.deepcopy(data), True), mode='full')
    torch.manual_seed(0)
    model.train_step(copy.deepcopy(data), sgd(model))
    expected = {name: value for name, value in full.named_buffers() if name.endswith(buffer)}
    assert expected and all(value.any() for value in expected.values())
    found = dict(model.named_buffers())
    assert_equal(expected, {name: found[name] for name in expected})
