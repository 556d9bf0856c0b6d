"""Soft targets of dense heads come through scale and turns: the same boxes, the same scores."""

import copy

import pytest
import torch
from mmdet.models.dense_heads import FSAFHead
from mmdet.models.task_modules.prior_generators import AnchorGenerator

from mmgradaug.detection.distillation.dense_outputs import Deltas, LogDistances, SideDistributions
from mmgradaug.detection.distillation.scale_space import PriorPyramid
from mmgradaug.transforms import DrawnChain, GeometricMap, Rotate, Scale
from tests.detection.dense import FAMILIES, detector, random_feats, teach
from tests.networks import random_images


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
    in_anchors = isinstance(output.kind, Deltas) or isinstance(distiller.head, FSAFHead)
    if in_anchors and priors.anchors is not None:
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
    low, high = torch.tensor(box).view(2, 2, 1, 1)
    num_anchors = 1 if distiller.priors.anchors is None else len(distiller.priors.anchors)
    steps = []
    for step, (height, width) in enumerate(cells(distiller, size)):
        centre = centres_of(distiller, step, height, width)
        anchors = []
        for anchor in range(num_anchors):
            unit = unit_of(distiller, output, step, anchor).view(2, 1, 1)
            if isinstance(output.kind, Deltas):
                logs = ((high - low) / unit).log().expand_as(centre)
                anchors.append(torch.cat([((low + high) / 2 - centre) / unit, logs]))
            else:
                anchors.append(torch.cat([centre - low, high - centre]) / unit.repeat(2, 1, 1))
        steps.append(torch.stack(anchors)[None])
    return steps


@pytest.mark.parametrize('name', FAMILIES)
def test_at_half_scale_a_level_is_taught_by_the_next_exactly(name):
    distiller = detector(name, 'soft')._distillers[0]
    teach(distiller, (256, 384))
    mapping = GeometricMap((256, 384), (128, 192))
    small = cells(distiller, (128, 192))
    for output in distiller.spec.outputs:
        kept = distiller.teacher[output.name]
        targets = distiller._targets(output, mapping, small)
        assert targets[-1] is None
        for level, target in enumerate(targets[:-1]):
            expected = kept[level + 1] * (0.5 if output.in_pixels else 1)
            if distiller.priors.groups is not None:  # one level: the next size, every other cell
                expected = expected[..., ::2, ::2]
            assert torch.equal(target, expected), (output.name, level)


@pytest.mark.parametrize('name', [name for name in FAMILIES if name != 'PAA'])
def test_boxes_are_read_as_the_stock_head_decodes_them(name, monkeypatch):
    """Strides, norms, coders: box values are in known units. PAA decodes with suppression only."""
    distiller, size = detector(name, 'soft')._distillers[0], (96, 160)
    head = distiller.head
    teach(distiller, size)
    output = [o for o in distiller.spec.outputs if o.key == 'bbox'][-1]
    ours = boxes_of(distiller, output, distiller.teacher[output.name])
    monkeypatch.setattr(head, 'training', False)
    monkeypatch.setattr(getattr(head, 'bbox_coder', head), 'add_ctr_clamp', False, raising=False)
    meta = dict(img_shape=size, scale_factor=(1.0, 1.0), batch_input_shape=size)
    cfg = copy.deepcopy(head.test_cfg)
    cfg.update(score_thr=-1.0, nms_pre=100000, min_bbox_size=-1)
    with torch.no_grad():
        options = dict(batch_img_metas=[meta], cfg=cfg, rescale=False, with_nms=False)
        raw = head(random_feats(head, size))
        theirs = head.predict_by_feat(*raw, **options)[0].bboxes
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


@pytest.mark.parametrize('name', FAMILIES)
def test_a_box_is_the_moved_box_wherever_it_is_read(name):
    """Shifts and sizes, cells and pixels, sides: all that a transform changes, at once.

    FoveaBox, not linear between cells: at half scale, of a box that every cell lies in.
    """
    distiller = detector(name, 'soft')._distillers[0]
    size, box, share, most = (288, 416), (90.0, 70.0, 230.0, 180.0), 0.6, 0.01
    transforms = TRANSFORMS
    if name == 'FoveaBox':
        size, box, share, most = (256, 384), (0.0, 0.0, 380.0, 250.0), 0.95, 0.05
        transforms = [Scale(0.5), Rotate(1), Rotate(2), DrawnChain((Rotate(3), Scale(0.5)))]
    for transform in transforms:
        _, mapping = transform(torch.zeros(1, 3, *size))
        for output in distiller.spec.outputs:
            if output.key != 'bbox':
                continue
            values = values_of(distiller, output, box, size)
            if name == 'FoveaBox':
                values = [v.clamp(min=1e-3).log() for v in values]
            distiller.teacher = {output.name: values}
            targets = distiller._targets(output, mapping, cells(distiller, mapping.out_size))
            # A cell beyond the teacher's outermost ones reads the nearest, which is elsewhere.
            boxes = boxes_of(distiller, output, targets[:3])
            error = (boxes - mapping.boxes(torch.tensor(box))).abs().amax(dim=1)
            assert error.quantile(share) < most, (output.name, transform)


@pytest.mark.parametrize('transform', TRANSFORMS, ids=str)
def test_distributions_over_distances_move_with_their_means(transform):
    """GFL's bins count cells; the same object is another number of cells one level up."""
    distiller = detector('GFL', 'soft')._distillers[0]
    _, boxes, bins = distiller.spec.outputs
    size, box = (288, 416), (40.0, 30.0, 250.0, 240.0)
    means = values_of(distiller, boxes, box, size)
    places = torch.arange(bins.kind.bins).view(-1, 1, 1)
    spread = [(1 - (m[:, :, :, None].clamp(0, 16) - places).abs()).clamp(min=0) for m in means]
    distiller.teacher = {bins.name: spread}
    _, mapping = transform(torch.zeros(1, 3, *size))
    targets = distiller._targets(bins, mapping, cells(distiller, mapping.out_size))
    moved = mapping.boxes(torch.tensor(box))
    checked = 0
    for step, target in enumerate(targets):
        if target is None:
            continue
        sides = target[0, 0]
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


@pytest.mark.parametrize('name', ['RetinaNet', 'YOLOF', 'FCOS', 'GFL', 'TOOD', 'YOLOX'])
@pytest.mark.parametrize('turns', [1, 2, 3])
def test_turned_students_learn_turned_scores(name, turns):
    """Anchors change places with their counterparts, cells with the turned ones."""
    distiller, size = detector(name, 'soft')._distillers[0], (256, 256)
    teach(distiller, size)
    mapping = GeometricMap(size, size, turns)
    scores = distiller.spec.outputs[0]
    targets = distiller._targets(scores, mapping, cells(distiller, size))
    ratios = 3 if name == 'RetinaNet' else 1
    for kept, target in zip(distiller.teacher['cls'], targets, strict=True):
        if ratios == 3 and turns % 2:
            kept = kept.unflatten(1, (3, 3)).flip(1).flatten(1, 2)  # tall ones for wide ones
        expected = torch.rot90(kept, turns, (-2, -1))
        if distiller.priors.offset == 0:  # on the corners of cells: one cell is gone
            down, right = {1: (1, 0), 2: (1, 1), 3: (0, 1)}[turns]
            height, width = target.shape[-2:]
            expected = expected[..., : height - down, : width - right]
            target = target[..., down:, right:]
        assert torch.equal(target, expected)


def test_anchors_of_a_single_level_are_steps_by_size():
    generator = AnchorGenerator(scales=[2, 4, 8], ratios=[0.5, 1.0, 2.0], strides=[16])
    priors = PriorPyramid.of(generator)
    assert priors.groups == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
    torch.testing.assert_close(torch.tensor(priors.sizes)[:, 0], torch.tensor([32.0, 64.0, 128.0]))
    assert priors.turned_anchors == [2, 1, 0]
    assert PriorPyramid.of(AnchorGenerator(scales=[8], ratios=[1.0], strides=[16])) is None
