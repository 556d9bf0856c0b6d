"""Distillation of dense heads, family by family: what they learn, and which are not distilled."""

import copy
import types

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub

from mmgradaug.detection.distillation.dense_heads import head_spec
from mmgradaug.transforms import GeometricMap, Scale
from tests.detection.dense import FAMILIES, SIZE, built, detector, teach
from tests.detection.passes import full_losses, preprocessed, subnet_losses, taught
from tests.networks import batch, build, dense_config
from tests.training.steps import sgd


class Mixture:
    """Stands in for scikit-learn's mixture of two Gaussians, which PAA fits to losses."""

    def __init__(self, components, **options):
        assert components == 2

    def fit(self, values):
        self.middle = np.median(values)

    def predict(self, values):
        return (values[:, 0] > self.middle).astype(np.int64)

    def score_samples(self, values):
        return -np.abs(values[:, 0] - self.middle)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, request):
    """What PAA and TOOD need around them; TOOD's losses change after some epochs."""
    module = types.SimpleNamespace(GaussianMixture=Mixture)
    monkeypatch.setattr('mmdet.models.dense_heads.paa_head.skm', module)
    params = request.node.callspec.params if hasattr(request.node, 'callspec') else {}
    epoch = 10 if params.get('name') == 'TOOD anchor' else 0
    monkeypatch.setitem(MessageHub.get_current_instance().runtime_info, 'epoch', epoch)


@pytest.mark.parametrize('name', FAMILIES)
def test_on_the_same_images_soft_losses_vanish_and_hard_ones_are_the_stock_ones(name):
    """A sub-network that is the full network: a student equal to its teacher."""
    model = detector(name, 'both')
    data, head = preprocessed(model, batch(size=SIZE, mask=False)), model.bbox_head
    stock = model.parse_losses(full_losses(model, data))[1]
    if name == 'DDOD':
        head.cls_num_pos_samples_per_level = [0.0] * len(head.cls_num_pos_samples_per_level)
    _, mapping = Scale(1.0)(data['inputs'])
    torch.manual_seed(0)
    losses = model(**copy.deepcopy(data), mode='subnet', mapping=mapping)
    soft = {key: value for key, value in losses.items() if key.endswith('_soft')}
    assert set(soft) == {f'loss_dense_{output.name}_soft' for output in head_spec(head).outputs}
    assert max(value.abs() for value in soft.values()) < 1e-5
    assert losses['agree_dense'] == 1
    parameters = [p for p in model.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(sum(soft.values()), parameters, allow_unused=True)
    assert max(g.abs().max() for g in gradients if g is not None) < 1e-4
    hard = {key: value for key, value in losses.items() if key.endswith('_hard')}
    stock = {key: value for key, value in stock.items() if 'loss' in key and key != 'loss'}
    assert len(hard) == len(stock)
    for key, value in stock.items():
        stem = key.removeprefix('loss_').removesuffix('_loss')
        assert torch.equal(hard[f'loss_dense_{stem}_hard'], value), key
        assert value > 0


@pytest.mark.parametrize('name', FAMILIES)
def test_every_pass_reaches_every_parameter(name):
    """Narrow, rescaled, with objects, without, and with no output trained at all."""
    for num_items, mode in (((3, 2), 'both'), ((0, 0), 'both'), ((0, 0), 'off')):
        model = detector(name, mode)
        data = taught(model, batch(num_items, SIZE, mask=False))
        losses = subnet_losses(model, data, Scale(0.75), 0.5)
        assert all(torch.isfinite(loss) for loss in losses.values())
        assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []
        soft = [v for k, v in losses.items() if k.endswith('_soft')]
        assert len(soft) == (len(model._distillers[0].spec.outputs) if mode == 'both' else 0)
        assert all(value > 0 for value in soft)
    assert set(losses) == {'loss_dense_untrained'}


@pytest.mark.parametrize('name', FAMILIES)
def test_a_step_on_one_image(name):
    model = copy.deepcopy(detector(name, 'both'))
    model.sampler.num_subnets = 2  # the second one's teacher has to be no part of the first's graph
    size = 256 if name == 'RetinaSepBN' else SIZE  # a single cell has no batch statistics
    log = model.train_step(batch((2,), size, mask=False), sgd(model))
    assert torch.isfinite(log['loss'])
    assert log['subnet1/width'] == 0.5
    assert log['subnet1/loss_dense_cls_soft'] > 0
    soft = [key for key in log if key.startswith('subnet2/') and key.endswith('_soft')]
    assert len(soft) == len(model._distillers[0].spec.outputs)


def bernoulli(student, teacher):
    """KL divergence of yes/no distributions, by the book, from logits."""
    p, q = teacher.sigmoid(), student.sigmoid()
    return p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()


@pytest.mark.parametrize('name', ['ATSS', 'YOLOX'])
def test_soft_losses_by_hand(name):
    """Divergences, what they are weighted by and what they are divided by."""
    distiller, size = detector(name, 'soft')._distillers[0], (128, 192)
    teacher = teach(distiller, size)
    student = [[0.5 * m for m in output] for output in teacher]
    losses = distiller._soft_losses(student, GeometricMap(size, size), 1.0)
    scores, boxes, quality = (torch.cat([m.flatten(2) for m in out], 2) for out in teacher)
    present = scores.sigmoid().amax(dim=1)
    if name == 'YOLOX':  # whose quality is whether there is an object at all
        present = present * quality.sigmoid()[:, 0]
    norm = present.sum().clamp(min=1)
    classes = bernoulli(0.5 * scores, scores).sum(dim=1)
    qualities = bernoulli(0.5 * quality, quality)[:, 0]
    deltas = (0.5 * boxes).abs().sum(dim=1)  # of standard deviations
    if name == 'YOLOX':
        expected = [(classes * quality.sigmoid()[:, 0]).sum(), (deltas * present).sum() * 5,
                    qualities.sum()]  # fmt: skip
    else:
        expected = [classes.sum(), (deltas * present).sum() * 2, (qualities * present).sum()]
    soft = [value for key, value in losses.items() if key.endswith('_soft')]
    for found, wanted in zip(soft, expected, strict=True):
        torch.testing.assert_close(found, wanted / norm, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize('name', ['FreeAnchor', 'AutoAssign'])
def test_joint_losses_need_one_hard_weight(name):
    with pytest.raises(ValueError, match=r'trains several outputs together.*same hard weight'):
        detector(name, dense_bbox='off')
    detector(name, dense_bbox='both')


def test_only_the_full_pass_counts_for_ddod():
    model = detector('DDOD')
    head = model.bbox_head
    data = taught(model, batch(size=SIZE, mask=False))
    before = list(head.cls_num_pos_samples_per_level)
    assert sum(before) > 0
    subnet_losses(model, data, Scale(0.5), 0.5)
    assert head.cls_num_pos_samples_per_level == before


def test_copies_learn_from_their_own_head():
    """RepPoints makes boxes of points by a parameter of the head."""
    twin = copy.deepcopy(detector('RepPoints', 'soft'))
    points = twin._distillers[0].spec.outputs[1].kind
    assert points.read.keywords['head'] is twin.bbox_head


@pytest.mark.parametrize('method', ['forward_single', 'loss_by_feat'])
@pytest.mark.parametrize('name', ['RetinaNet', 'FCOS', 'GFL', 'VFNet'])
def test_heads_with_methods_of_their_own_are_unknown(name, method, monkeypatch):
    head = built(name).bbox_head
    assert head_spec(head) is not None
    own = type('OtherHead', (type(head),), {method: lambda self, *args, **kwargs: None})
    monkeypatch.setattr(head, '__class__', own)
    assert head_spec(head) is None


def test_anchors_that_do_not_grow_with_the_levels_are_not_distilled():
    generator = dict(type='AnchorGenerator', scales=[1], ratios=[1.0], strides=[8, 16, 32, 64, 128],
                     base_sizes=[32, 48, 64, 80, 96])  # fmt: skip
    model = build(dense_config(FAMILIES['RetinaNet'], dict(anchor_generator=generator)))
    assert model._distillers == []
    assert model._undistilled == 'bbox_head (RetinaHead)'


def test_coders_nobody_knows_are_not_distilled():
    head = copy.deepcopy(built('RetinaNet').bbox_head)
    head.bbox_coder = types.SimpleNamespace(encode_size=4)
    assert head_spec(head) is None
