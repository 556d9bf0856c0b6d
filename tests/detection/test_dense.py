"""Distillation of dense heads, family by family, on tiny detectors of mmdet's own configs."""

import copy
import functools
import types

import numpy as np
import pytest
import torch
from mmdet.models.task_modules.prior_generators import AnchorGenerator
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper

from mmgradaug import at_width
from mmgradaug.detection.distillation import DistillConfig, find_distillers
from mmgradaug.detection.distillation.dense_boxes import (
    Deltas,
    Distances,
    LogDistances,
    SideDistributions,
)
from mmgradaug.detection.distillation.dense_heads import describe
from mmgradaug.detection.distillation.priors import PriorPyramid
from mmgradaug.transforms import GeometricMap, Rotate, Scale
from mmgradaug.transforms.chain import DrawnChain
from tests.networks import batch, build, dense_config, random_images

KEYS = ('dense_cls', 'dense_bbox', 'dense_quality', 'dense_dfl')
FAMILIES = {
    'RetinaNet': ('retinanet/retinanet_r50_fpn_1x_coco', {}),
    'RetinaNet softmax': (
        'retinanet/retinanet_r50_fpn_1x_coco',
        dict(loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False)),
    ),
    'RetinaSepBN': ('nas_fpn/retinanet_r50_nasfpn_crop640-50e_coco', {}),
    'FreeAnchor': ('free_anchor/freeanchor_r50_fpn_1x_coco', {}),
    'FSAF': ('fsaf/fsaf_r50_fpn_1x_coco', {}),
    'YOLOF': ('yolof/yolof_r50-c5_8xb8-1x_coco', {}),
    'ATSS': ('atss/atss_r50_fpn_1x_coco', {}),
    'PAA': ('paa/paa_r50_fpn_1x_coco', {}),
    'DDOD': ('ddod/ddod_r50_fpn_1x_coco', dict(use_dcn=False)),
    'GFL': ('gfl/gfl_r50_fpn_1x_coco', {}),
    'TOOD': ('tood/tood_r50_fpn_1x_coco', {}),
    'TOOD anchor': ('tood/tood_r50_fpn_anchor-based_1x_coco', {}),
    'FCOS': ('fcos/fcos_r50-caffe_fpn_gn-head_1x_coco', {}),
    'FCOS normed': (
        'fcos/fcos_r50-caffe_fpn_gn-head-center-normbbox-centeronreg-giou_1x_coco',
        {},
    ),
    'NAS-FCOS': ('nas_fcos/nas-fcos_r50-caffe_fpn_nashead-gn-head_4xb4-1x_coco', {}),
    'AutoAssign': ('autoassign/autoassign_r50-caffe_fpn_1x_coco', {}),
    'CenterNet': ('centernet/centernet-update_r50-caffe_fpn_ms-1x_coco', {}),
    'FoveaBox': ('foveabox/fovea_r50_fpn_4xb4-1x_coco', {}),
    'RepPoints': ('reppoints/reppoints-moment_r50_fpn_1x_coco', {}),
    'VFNet': ('vfnet/vfnet_r50_fpn_1x_coco', {}),
    'RTMDet': ('rtmdet/rtmdet_s_8xb32-300e_coco', {}),
    'YOLOX': ('yolox/yolox_s_8xb8-300e_coco', {}),
}
SIZE = 96  # of the images; the coarsest levels have a single cell


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


@functools.cache
def built(name):
    """A detector of a family, whose head's last layers say something; not to be changed."""
    config, changes = FAMILIES[name]
    model = build(dense_config(config, changes))
    head = model.bbox_head
    torch.manual_seed(1)
    for parameter in head.parameters():
        if parameter.dim() == 4:
            parameter.data += 0.05 * torch.randn_like(parameter)
    return model


def detector(name, **distill):
    """A detector of a family with other targets."""
    model = built(name)
    model._config = DistillConfig.parse(distill)
    model._distillers, missing = find_distillers(model, model._config)
    assert missing is None
    return model


def all_keys(mode):
    return dict.fromkeys(KEYS, mode)


@functools.cache
def data_of(num_items=(3, 2), size=SIZE):
    return batch(num_items, size, mask=False)


def taught(model, num_items=(3, 2), size=SIZE):
    """Run and keep the full pass; returns the preprocessed batch and the losses."""
    data = model.data_preprocessor(copy.deepcopy(data_of(num_items, size)), True)
    torch.manual_seed(0)
    return data, model(**copy.deepcopy(data), mode='full')


def subnet_losses(model, data, transform, width=1.0):
    images, mapping = transform(data['inputs'])
    images = model.pad_images(images)
    torch.manual_seed(0)
    with at_width(model, width):
        losses = model(images, copy.deepcopy(data['data_samples']), mode='subnet', mapping=mapping)
        model.zero_grad()
        model.parse_losses(losses)[0].backward()
    return losses


def without_gradient(model):
    return [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]


# -- what is distilled ---------------------------------------------------------------------


@functools.cache
def repeated(name):
    """A sub-network that is the full network on the same images: its losses, and the stock ones."""
    model = detector(name, **all_keys('both'))
    data, stock = taught(model)
    for counts in model._distillers[0].form.counts:
        setattr(model.bbox_head, counts, [0.0] * len(getattr(model.bbox_head, counts)))
    images, mapping = Scale(1.0)(data['inputs'])
    torch.manual_seed(0)
    losses = model(images, copy.deepcopy(data['data_samples']), mode='subnet', mapping=mapping)
    stock = {k: v.detach() for k, v in model.parse_losses(stock)[1].items() if 'loss' in k}
    soft = [v for k, v in losses.items() if k.endswith('_soft')]
    parameters = [p for p in model.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(sum(soft), parameters, allow_unused=True)
    steepest = max(g.abs().max() for g in gradients if g is not None)
    return {k: v.detach() for k, v in losses.items()}, stock, steepest


@pytest.mark.parametrize('name', FAMILIES)
def test_a_student_equal_to_its_teacher_has_nothing_to_learn(name):
    losses, _, steepest = repeated(name)
    names = {f'loss_dense_{o.name}_soft' for o in describe(built(name).bbox_head).outputs}
    soft = {key: value for key, value in losses.items() if key.endswith('_soft')}
    assert set(soft) == names
    assert max(value.abs() for value in soft.values()) < 1e-5
    assert steepest < 1e-4
    assert losses['agree_dense'] == 1


@pytest.mark.parametrize('name', FAMILIES)
def test_hard_losses_are_the_stock_ones(name):
    losses, stock, _ = repeated(name)
    hard = {key: value for key, value in losses.items() if key.endswith('_hard')}
    stock = {key: value for key, value in stock.items() if key != 'loss'}
    assert len(hard) == len(stock)
    for key, value in stock.items():
        stem = key.removeprefix('loss_').removesuffix('_loss')
        assert torch.equal(hard[f'loss_dense_{stem}_hard'], value), key
        assert value > 0


@pytest.mark.parametrize('name', FAMILIES)
def test_every_pass_reaches_every_parameter(name):
    """Narrow, rescaled, with objects, without, and with no output trained at all."""
    for num_items in ((3, 2), (0, 0)):
        model = detector(name, **all_keys('both'))
        data, _ = taught(model, num_items)
        losses = subnet_losses(model, data, Scale(0.75), 0.5)
        assert all(torch.isfinite(loss) for loss in losses.values())
        assert without_gradient(model) == []
        soft = [v for k, v in losses.items() if k.endswith('_soft')]
        assert len(soft) == len(model._distillers[0].form.outputs)
        assert all(value > 0 for value in soft)
    model = detector(name, **all_keys('off'))
    losses = subnet_losses(model, data, Scale(0.75), 0.5)
    assert set(losses) == {'loss_dense_untrained'}
    assert without_gradient(model) == []


@pytest.mark.parametrize('name', FAMILIES)
def test_a_step_on_one_image(name):
    model = copy.deepcopy(detector(name))
    model.sampler.num_subnets = 1
    size = 256 if name == 'RetinaSepBN' else SIZE  # a single cell has no batch statistics
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-4))
    log = model.train_step(copy.deepcopy(data_of((2,), size)), wrapper)
    assert torch.isfinite(log['loss'])
    assert log['subnet1/width'] == 0.5
    assert log['subnet1/loss_dense_cls_soft'] > 0
    assert 'subnet1/loss_dense_bbox_soft' not in log


# -- through scale -------------------------------------------------------------------------


def random_feats(model, size):
    """Random features of the head's levels for an image of a size."""
    strides = model.bbox_head.prior_generator.strides
    shapes = [(-(-size[0] // y), -(-size[1] // x)) for x, y in strides]
    return [random_images(1, 16, *shape, seed=level) for level, shape in enumerate(shapes)]


def teach(distiller, feats):
    """Record the head on features, as in a full pass; returns its raw outputs."""
    with torch.no_grad(), distiller.recording():
        return distiller.head(feats)


@pytest.mark.parametrize('name', FAMILIES)
def test_at_half_scale_a_level_is_taught_by_the_next_exactly(name):
    model = detector(name, **all_keys('soft'))
    distiller = model._distillers[0]
    teach(distiller, random_feats(model, (256, 384)))
    mapping = GeometricMap((256, 384), (128, 192))
    small = cells(distiller, (128, 192))
    for output in distiller.form.outputs:
        kept = distiller._teacher[output.name]
        targets = distiller._targets(output, mapping, small)
        assert targets[-1] is None
        for level, target in enumerate(targets[:-1]):
            expected = kept[level + 1] * (0.5 if output.in_pixels else 1)
            if distiller.priors.groups is not None:  # one level: the next size, every other cell
                expected = expected[..., ::2, ::2]
            assert torch.equal(target, expected), (output.name, level)


def cells(distiller, size):
    """Height and width of each step's maps for an image of a size."""
    return [(-(-size[0] // y), -(-size[1] // x)) for x, y in distiller.priors.strides]


def unit_of(distiller, output, step, anchor):
    """Width and height in pixels of what box values of an anchor of a step are in."""
    priors = distiller.priors
    if output.in_pixels:
        return torch.ones(2)
    size = torch.tensor(priors.sizes[step])
    if isinstance(output.kind, LogDistances):
        return size * 2  # FoveaBox: base edges 16, 32, ... for strides 8, 16, ...
    if isinstance(output.kind, (Deltas, Distances)) and priors.anchors is not None:
        return size * (priors.anchors[anchor, 2:] - priors.anchors[anchor, :2])
    return size


def centres_of(distiller, step, height, width):
    """Prior centres (2, h, w) in pixels."""
    stride_x, stride_y = distiller.priors.strides[step]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
    offset = distiller.priors.offset
    return torch.stack([(x + offset) * stride_x, (y + offset) * stride_y])


def boxes_of(distiller, output, values):
    """Boxes (K, 4) in pixels that values of all steps stand for, by the textbook."""
    boxes = []
    for step, value in enumerate(values):
        for anchor in range(0 if value is None else value.size(1)):
            centre = centres_of(distiller, step, *value.shape[-2:])
            unit = unit_of(distiller, output, step, anchor).view(2, 1, 1)
            v = value[0, anchor]
            if isinstance(output.kind, Deltas):
                middle, half = centre + v[:2] * unit, v[2:].exp() * unit / 2
                corners = torch.cat([middle - half, middle + half])
            else:
                v = v.exp() if isinstance(output.kind, LogDistances) else v
                corners = torch.cat([centre - v[:2] * unit, centre + v[2:] * unit])
            boxes.append(corners.flatten(1).T)
    return torch.cat(boxes)


def values_of(distiller, output, box, size):
    """What the teacher would say if every prior of every step found one box."""
    steps, low, high = (
        [],
        torch.tensor(box[:2])[:, None, None],
        torch.tensor(box[2:])[:, None, None],
    )
    for step, (height, width) in enumerate(cells(distiller, size)):
        centre = centres_of(distiller, step, height, width)
        anchors = []
        for anchor in range(
            1 if distiller.priors.anchors is None else len(distiller.priors.anchors)
        ):
            unit = unit_of(distiller, output, step, anchor).view(2, 1, 1)
            if isinstance(output.kind, Deltas):
                logs = ((high - low) / unit).log().expand_as(centre)
                anchors.append(torch.cat([((low + high) / 2 - centre) / unit, logs]))
            else:
                anchors.append(torch.cat([centre - low, high - centre]) / unit.repeat(2, 1, 1))
        steps.append(torch.stack(anchors)[None])
    return steps


@pytest.mark.parametrize('name', [name for name in FAMILIES if name != 'PAA'])
def test_boxes_are_read_as_the_stock_head_decodes_them(name, monkeypatch):
    """Strides, norms, exponents, coders: the values of every box output are in known units.

    PAA has ATSS's forward and coder, and does not decode without suppression.
    """
    model = detector(name, **all_keys('soft'))
    distiller, head = model._distillers[0], model.bbox_head
    size = (96, 160)
    feats = random_feats(model, size)
    teach(distiller, feats)
    output = [o for o in distiller.form.outputs if o.key == 'bbox'][-1]
    ours = boxes_of(distiller, output, distiller._teacher[output.name])
    monkeypatch.setattr(head, 'training', False)
    monkeypatch.setattr(getattr(head, 'bbox_coder', head), 'add_ctr_clamp', False, raising=False)
    meta = dict(img_shape=size, scale_factor=(1.0, 1.0), batch_input_shape=size)
    cfg = copy.deepcopy(head.test_cfg)
    cfg.update(score_thr=-1.0, nms_pre=100000, min_bbox_size=-1)
    with torch.no_grad():
        options = dict(batch_img_metas=[meta], cfg=cfg, rescale=False, with_nms=False)
        theirs = head.predict_by_feat(*head(feats), **options)[0].bboxes
    if not name.startswith(('TOOD', 'YOLOX')):  # which leave boxes beyond the image
        last = 1 if name == 'FoveaBox' else 0
        limits = torch.tensor([size[1], size[0], size[1], size[0]]) - last
        ours = torch.minimum(ours.clamp(min=0), limits)
    ours, theirs = ours.unique(dim=0), theirs.unique(dim=0)
    distance = torch.cdist(ours.double(), theirs.double())
    assert distance.min(dim=0).values.max() < 0.01
    assert distance.min(dim=1).values.max() < 0.01
    assert len(ours) > 25


TRANSFORMS = [Scale(0.5), Scale(0.75), Scale(0.4), Rotate(1), Rotate(2),
              DrawnChain((Rotate(3), Scale(0.6)))]  # fmt: skip


@pytest.mark.parametrize('name', [n for n in FAMILIES if n != 'FoveaBox'])
def test_a_box_is_the_moved_box_wherever_it_is_read(name):
    """Shifts and sizes, cells and pixels, sides: all that a transform changes, at once.

    Between cells FoveaBox's logarithms of distances are not linear; see the next test.
    """
    model = detector(name, **all_keys('soft'))
    distiller = model._distillers[0]
    size, box = (288, 416), (90.0, 70.0, 230.0, 180.0)
    for transform in TRANSFORMS:
        _, mapping = transform(torch.zeros(1, 3, *size))
        for output in distiller.form.outputs:
            if output.key != 'bbox':
                continue
            distiller._teacher = {output.name: values_of(distiller, output, box, size)}
            targets = distiller._targets(output, mapping, cells(distiller, mapping.out_size))
            # A cell beyond the teacher's outermost ones reads the nearest, which is elsewhere.
            boxes = boxes_of(distiller, output, targets[:3])
            error = (boxes - mapping.boxes(torch.tensor(box))).abs().amax(dim=1)
            assert error.quantile(0.6) < 0.01, (output.name, transform)


def test_logarithms_of_distances_move_exactly_at_half_scale_and_under_turns():
    model = detector('FoveaBox', **all_keys('soft'))
    distiller = model._distillers[0]
    size, box = (256, 384), (0.0, 0.0, 380.0, 250.0)
    output = distiller.form.outputs[1]
    values = [v.clamp(min=1e-3).log() for v in values_of(distiller, output, box, size)]
    distiller._teacher = {output.name: values}
    for transform in (Scale(0.5), Rotate(1), Rotate(2), DrawnChain((Rotate(3), Scale(0.5)))):
        _, mapping = transform(torch.zeros(1, 3, *size))
        targets = distiller._targets(output, mapping, cells(distiller, mapping.out_size))
        boxes = boxes_of(distiller, output, targets[:3])
        error = (boxes - mapping.boxes(torch.tensor(box))).abs().amax(dim=1)
        assert error.quantile(0.95) < 0.05


@pytest.mark.parametrize('transform', TRANSFORMS, ids=str)
def test_distributions_over_distances_move_with_their_means(transform):
    """GFL's bins count cells; the same object is another number of cells one level up."""
    model = detector('GFL', **all_keys('soft'))
    distiller = model._distillers[0]
    _, boxes, bins = distiller.form.outputs
    size, box = (288, 416), (40.0, 30.0, 250.0, 240.0)
    means = values_of(distiller, boxes, box, size)
    places = torch.arange(bins.kind.bins).view(-1, 1, 1)
    spread = [(1 - (m[:, :, :, None].clamp(0, 16) - places).abs()).clamp(min=0) for m in means]
    distiller._teacher = {bins.name: [s.flatten(2, 3) for s in spread]}
    _, mapping = transform(torch.zeros(1, 3, *size))
    targets = distiller._targets(bins, mapping, cells(distiller, mapping.out_size))
    moved = mapping.boxes(torch.tensor(box))
    checked = 0
    for step, target in enumerate(targets):
        if target is None:
            continue
        sides = target[0, 0].unflatten(0, (4, -1))
        torch.testing.assert_close(sides.sum(dim=1), torch.ones_like(sides[:, 0]))
        distances = (sides * places).sum(dim=1)
        centre = centres_of(distiller, step, *target.shape[-2:])
        stride = distiller.priors.strides[step][0]
        expected = torch.cat([centre - moved[:2, None, None], moved[2:, None, None] - centre])
        # Inside the box, at distances that every level read has bins for.
        inside = ((expected > 2 * stride) & (expected < 7 * stride)).all(dim=0)
        checked += int(inside.sum())
        error = (distances * stride - expected).abs()[:, inside]
        assert not inside.any() or error.quantile(0.5) < 0.01 * stride
    assert checked > 5


def test_distributions_keep_their_precision_in_mixed_precision():
    kind = SideDistributions(17)
    values = kind.teacher(random_images(1, 4 * 17, 3, 5))
    expected = kind.rescaled(values, (0.75, 1.5))
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(kind.rescaled(values, (0.75, 1.5)), expected)
    assert torch.equal(kind.rescaled(values, (1.0, 1.0)), values)


@pytest.mark.parametrize('name', ['RetinaNet', 'YOLOF', 'FCOS', 'GFL', 'TOOD', 'YOLOX'])
@pytest.mark.parametrize('turns', [1, 2, 3])
def test_turned_students_learn_turned_scores(name, turns):
    """Anchors change places with their counterparts, cells with the turned ones."""
    model = detector(name, **all_keys('soft'))
    distiller = model._distillers[0]
    size = (256, 256)
    teach(distiller, random_feats(model, size))
    mapping = GeometricMap(size, size, turns)
    scores = distiller.form.outputs[0]
    targets = distiller._targets(scores, mapping, cells(distiller, size))
    ratios = 3 if name == 'RetinaNet' else 1
    for kept, target in zip(distiller._teacher['cls'], targets, strict=True):
        if ratios == 3 and turns % 2:
            kept = kept.unflatten(1, (3, 3)).flip(1).flatten(1, 2)  # tall ones for wide ones
        expected = torch.rot90(kept, turns, (-2, -1))
        if distiller.priors.offset == 0:  # on the corners of cells: one cell is gone
            down, right = {1: (1, 0), 2: (1, 1), 3: (0, 1)}[turns]
            height, width = target.shape[-2:]
            expected = expected[..., : height - down, : width - right]
            target = target[..., down:, right:]
        assert torch.equal(target, expected)


def test_anchors_without_counterparts_are_refused_when_built():
    generator = dict(type='AnchorGenerator', octave_base_scale=4, scales_per_octave=3,
                     ratios=[0.5, 1.0], strides=[8, 16, 32, 64, 128])  # fmt: skip
    changes = dict(anchor_generator=generator)
    config = dense_config(FAMILIES['RetinaNet'][0], changes)
    model = build(config)  # without turns there is nothing to refuse
    quarters, halves = frozenset({0, 1}), frozenset({0, 2})
    with pytest.raises(ValueError, match='have no counterparts under a quarter turn: use ratios'):
        find_distillers(model, DistillConfig(), quarters)
    for config, turns in ((all_keys('hard'), quarters), ({}, halves)):
        distillers, _ = find_distillers(model, DistillConfig.parse(config), turns)
        assert len(distillers) == 1


# -- which targets -------------------------------------------------------------------------


def test_defaults_train_probabilities_on_both_and_boxes_on_labels():
    model = detector('GFL')
    data, _ = taught(model)
    losses = subnet_losses(model, data, Scale(0.5), 0.5)
    assert {k for k in losses if k.endswith('_soft')} == {
        'loss_dense_cls_soft',
        'loss_dense_dfl_soft',
    }
    assert {k for k in losses if k.endswith('_hard')} == {
        'loss_dense_cls_hard',
        'loss_dense_bbox_hard',
        'loss_dense_dfl_hard',
    }
    targets = detector('FCOS')._distillers[0].targets
    assert (targets['quality'].soft, targets['quality'].hard) == (1, 1)
    assert (targets['bbox'].soft, targets['bbox'].hard) == (0, 1)


@pytest.mark.parametrize(('key', 'name'), [('dense_cls', 'cls'), ('dense_bbox', 'bbox'),
                                           ('dense_quality', 'centerness')])  # fmt: skip
def test_every_axis_turns(key, name):
    for mode, kinds in (('soft', 's'), ('hard', 'h'), ('both', 'sh')):
        model = detector('FCOS', **(all_keys('off') | {key: mode}))
        data, _ = taught(model)
        losses = subnet_losses(model, data, Scale(0.5), 0.5)
        found = {k for k, v in losses.items() if 'loss' in k and 'untrained' not in k and v != 0}
        expected = {f'loss_dense_{name}_{k}' for k in ('soft', 'hard') if k[0] in kinds}
        assert found == expected


def test_weights_scale_losses_and_warm_up_scales_soft_ones():
    model = detector('ATSS', **all_keys('both'))
    data, _ = taught(model)
    base = subnet_losses(model, data, Scale(0.5), 0.5)
    weights = dict(dense_cls=dict(soft=3.0, hard=0.5), warmup_iters=10)
    model = detector('ATSS', **(all_keys('both') | weights))
    model.gradaug_iteration = 5
    data, _ = taught(model)
    scaled = subnet_losses(model, data, Scale(0.5), 0.5)
    model.gradaug_iteration = 0
    torch.testing.assert_close(scaled['loss_dense_cls_soft'], base['loss_dense_cls_soft'] * 1.5)
    torch.testing.assert_close(scaled['loss_dense_cls_hard'], base['loss_dense_cls_hard'] * 0.5)
    quality = 'loss_dense_centerness_soft'
    torch.testing.assert_close(scaled[quality], base[quality] * 0.5)


def bernoulli(student, teacher):
    """KL divergence of yes/no distributions, by the book, from logits."""
    p, q = teacher.sigmoid(), student.sigmoid()
    return p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()


@pytest.mark.parametrize('name', ['ATSS', 'YOLOX'])
def test_soft_losses_by_hand(name):
    """Divergences, what they are weighted by and what they are divided by."""
    model = detector(name, **all_keys('soft'))
    distiller, size = model._distillers[0], (128, 192)
    teacher = teach(distiller, random_feats(model, size))
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


def test_soft_losses_do_not_grow_with_the_image():
    """Four times the image, four times the cells and objects: the same loss."""
    model = detector('RetinaNet', **all_keys('soft'))
    found = []
    for tiles in (1, 2, 4):
        data = model.data_preprocessor(copy.deepcopy(data_of((2,), 128)), True)
        data['inputs'] = data['inputs'].repeat(1, 1, tiles, tiles)
        for sample in data['data_samples']:
            size = (128 * tiles, 128 * tiles)
            sample.set_metainfo(dict(img_shape=size, pad_shape=size, batch_input_shape=size))
        model(**data, mode='full')
        losses = subnet_losses(model, data, Scale(0.75), 0.5)
        found.append([losses['loss_dense_cls_soft'].item(), losses['loss_dense_bbox_soft'].item()])
    for values in zip(*found, strict=True):
        assert max(values) < 1.5 * min(values)
        assert min(values) > 0


def test_only_the_full_pass_counts_for_ddod():
    model = detector('DDOD')
    head = model.bbox_head
    data, _ = taught(model)
    before = list(head.cls_num_pos_samples_per_level)
    assert sum(before) > 0
    subnet_losses(model, data, Scale(0.5), 0.5)
    assert head.cls_num_pos_samples_per_level == before


def test_copies_learn_from_their_own_head():
    model = detector('RepPoints', **all_keys('soft'))
    twin = copy.deepcopy(model)
    distiller = twin._distillers[0]
    assert distiller.head is twin.bbox_head
    assert distiller.form.outputs[1].kind.head is twin.bbox_head


# -- what is not distilled -----------------------------------------------------------------


class OwnForward:
    def forward_single(self, *args):
        return super().forward_single(*args)


class OwnLoss:
    def loss_by_feat(self, *args, **kwargs):
        return super().loss_by_feat(*args, **kwargs)


@pytest.mark.parametrize('change', [OwnForward, OwnLoss])
@pytest.mark.parametrize('name', ['RetinaNet', 'FCOS', 'GFL', 'VFNet'])
def test_heads_with_methods_of_their_own_are_unknown(name, change):
    head = built(name).bbox_head
    stock = type(head)
    assert describe(head) is not None
    try:
        head.__class__ = type('OtherHead', (change, stock), {})
        assert describe(head) is None
    finally:
        head.__class__ = stock


def test_anchors_that_do_not_grow_with_the_levels_are_not_distilled():
    generator = dict(type='AnchorGenerator', scales=[1], ratios=[1.0], strides=[8, 16, 32, 64, 128],
                     base_sizes=[32, 48, 64, 80, 96])  # fmt: skip
    model = build(dense_config(FAMILIES['RetinaNet'][0], dict(anchor_generator=generator)))
    assert model._distillers == []
    assert model._undistilled == 'bbox_head (RetinaHead)'


def test_coders_nobody_knows_are_not_distilled():
    head = copy.deepcopy(built('RetinaNet').bbox_head)
    head.bbox_coder = types.SimpleNamespace(encode_size=4)
    assert describe(head) is None


def test_anchors_of_a_single_level_are_steps_by_size():
    generator = AnchorGenerator(scales=[2, 4, 8], ratios=[0.5, 1.0, 2.0], strides=[16])
    priors = PriorPyramid.of(generator)
    assert priors.groups == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
    torch.testing.assert_close(torch.tensor(priors.sizes)[:, 0], torch.tensor([32.0, 64.0, 128.0]))
    assert priors.turned_anchors == [2, 1, 0]
    assert PriorPyramid.of(AnchorGenerator(scales=[8], ratios=[1.0], strides=[16])) is None
