"""Distillation of two-stage detectors: what a sub-network is asked to say, and on which RoIs."""

import copy

import pytest
import torch
from mmdet.structures.bbox import bbox_overlaps

from mmgradaug import at_width
from mmgradaug.detection import detector
from mmgradaug.detection.distillation.rpn import RPNDistiller
from mmgradaug.transforms import GeometricMap, Rotate, Scale
from mmgradaug.transforms.chain import DrawnChain
from tests.networks import batch, build, dense_config, detector_config

SOFT = dict(rpn_cls='soft', rpn_bbox='soft', roi_cls='soft', roi_bbox='soft', roi_mask='soft')


def taught(model, data):
    """Run and keep the full pass; returns the preprocessed batch."""
    data = model.data_preprocessor(copy.deepcopy(data), True)
    torch.manual_seed(0)
    model(**data, mode='full')
    return data


def subnet_losses(model, data, transform, width=1.0):
    images, mapping = transform(data['inputs'])
    images = model.pad_images(images)
    with at_width(model, width):
        losses = model(images, data['data_samples'], mode='subnet', mapping=mapping)
        model.zero_grad()
        model.parse_losses(losses)[0].backward()
    return losses


@pytest.mark.parametrize('mask', [True, False])
def test_a_student_equal_to_its_teacher_has_nothing_to_learn(mask):
    model = build(detector_config(mask, distill=SOFT))
    data = taught(model, batch(mask=mask))
    losses = subnet_losses(model, data, Scale(1.0))
    for name, loss in losses.items():
        assert loss.abs() < 1e-5 or 'loss' not in name, name
        assert loss == 1 or 'agree' not in name, name
    largest = max(p.grad.abs().max().item() for p in model.parameters() if p.grad is not None)
    assert largest < 1e-6


@pytest.mark.parametrize('turns', [1, 2, 3])
def test_turned_outputs_teach_turned_students(turns):
    """With heads of 1 x 1 kernels on a turned pyramid, RPN targets are the student's outputs."""
    model = build(detector_config(distill=SOFT))
    distiller = model._distillers[0]
    model.rpn_head.rpn_conv.weight.data[..., [0, 2, 0, 2], [0, 2, 2, 0]] = 0
    model.rpn_head.rpn_conv.weight.data[..., [0, 1, 1, 2], [1, 0, 2, 1]] = 0
    # Tall and wide anchors score alike where the weights say so: exchange them by hand.
    feats = [torch.randn(1, 16, 8 * 2**i, 8 * 2**i) for i in range(4, -1, -1)]
    with distiller.recording():
        scores, _ = model.rpn_head(feats)
    size = (8 * 16 * 4,) * 2
    mapping = GeometricMap(size, size, turns)
    sizes = [tuple(s.shape[-2:]) for s in scores]
    turned = distiller._targets(distiller.form.outputs[0], mapping, sizes)
    turned = [values.flatten(1, 2) for values in turned]
    order = [2, 1, 0] if turns % 2 else [0, 1, 2]
    for level, score in enumerate(scores):
        expected = torch.rot90(score.sigmoid(), turns, (-2, -1))[:, order]
        # Anchors sit on cell corners, so turning shifts the grid by one cell along turned axes.
        shifts = {1: (1, 0), 2: (1, 1), 3: (0, 1)}[turns]
        expected = expected.roll(shifts, (-2, -1))
        inside = (slice(None), slice(None), slice(shifts[0], None), slice(shifts[1], None))
        torch.testing.assert_close(turned[level][inside], expected[inside])


@pytest.mark.parametrize(
    'transform', [Scale(0.5), Scale(0.6), Rotate(1), DrawnChain((Rotate(3), Scale(0.7)))]
)
def test_mapped_rois_cover_the_same_objects(transform):
    model = build(detector_config())
    data = taught(model, batch((4, 3)))
    lesson = model._distillers[1].stages[0].kept.box
    _, mapping = transform(data['inputs'])
    boxes = [sample.gt_instances.bboxes for sample in data['data_samples']]
    moved = mapping.rois(lesson.rois)
    for index, truth in enumerate(boxes):
        rois, moved_rois = (r[r[:, 0] == index, 1:] for r in (lesson.rois, moved))
        before = bbox_overlaps(rois, truth)
        after = bbox_overlaps(moved_rois, mapping.boxes(truth))
        torch.testing.assert_close(before, after, rtol=1e-3, atol=1e-4)
        assert before.max() > 0.9  # mmdet adds the objects themselves to the RoIs


def test_hard_targets_of_mapped_rois_are_the_full_passes_own():
    model = build(detector_config(distill=dict(roi_cls='hard', roi_bbox='hard', roi_mask='hard')))
    data = taught(model, batch())
    seen = {}
    head, mask_head = model.roi_head.bbox_head, model.roi_head.mask_head
    original, mask_loss = head.loss, mask_head.loss_mask

    def box_loss(scores, deltas, rois, *targets):
        seen['box'] = targets
        return original(scores, deltas, rois, *targets)

    mask_head.loss_mask.register_forward_pre_hook(lambda m, args: seen.update(mask=args[1:]))
    head.loss = box_loss
    kept = model._distillers[1].stages[0].kept
    lesson, mask_lesson = kept.box, kept.mask
    subnet_losses(model, data, Scale(0.6), width=0.5)
    assert mask_loss is mask_head.loss_mask
    assert all(torch.equal(a, b) for a, b in zip(seen['box'], lesson.targets, strict=True))
    assert torch.equal(seen['mask'][0], mask_lesson.targets)
    assert torch.equal(seen['mask'][1], mask_lesson.labels)


def test_turned_hard_targets_describe_the_turned_objects():
    model = build(detector_config())
    data = taught(model, batch())
    stage = model._distillers[1].stages[0]
    lesson = stage.kept.box
    _, mapping = DrawnChain((Rotate(1), Scale(0.5)))(data['inputs'])
    coder = model.roi_head.bbox_head.bbox_coder
    positive = lesson.is_positive
    objects = coder.decode(lesson.rois[positive, 1:], lesson.targets[2][positive])
    targets = stage.moved_targets(lesson.targets[2], mapping)[positive]
    moved = coder.decode(mapping.rois(lesson.rois)[positive, 1:], targets)
    torch.testing.assert_close(moved, mapping.boxes(objects), rtol=1e-3, atol=1e-2)


def test_soft_roi_losses_are_their_formulas():
    """KL divergences and absolute errors, times the heads' own loss weights, by hand."""
    model = build(detector_config(distill=SOFT))
    head, mask_head = model.roi_head.bbox_head, model.roi_head.mask_head
    head.loss_cls.loss_weight, head.loss_bbox.loss_weight = 2.0, 3.0
    mask_head.loss_mask.loss_weight = 0.5
    data = taught(model, batch((4, 3)))
    stage = model._distillers[1].stages[0]
    box, mask, seen = stage.kept.box, stage.kept.mask, {}
    head.fc_cls.register_forward_hook(lambda m, args, out: seen.update(scores=out))
    head.fc_reg.register_forward_hook(lambda m, args, out: seen.update(deltas=out))
    mask_head.conv_logits.register_forward_hook(lambda m, args, out: seen.update(grids=out))
    losses = subnet_losses(model, data, Scale(0.6), width=0.5)

    p, log_q = box.cls_score.softmax(1), seen['scores'].log_softmax(1)
    divergence = (p * (p.log() - log_q)).sum() / len(p)
    torch.testing.assert_close(losses['loss_roi_cls_soft'], 2.0 * divergence)

    labels = box.targets[0]
    own = [(d - t).view(-1, 4)[c].abs().sum() for d, t, c in zip(
        seen['deltas'][box.is_positive], box.bbox_pred[box.is_positive], labels[box.is_positive],
        strict=True)]  # fmt: skip
    torch.testing.assert_close(losses['loss_roi_bbox_soft'], 3.0 * sum(own) / len(labels))

    rows = torch.arange(len(mask.labels))
    q, p = (
        seen['grids'][rows, mask.labels].sigmoid(),
        mask.probabilities.view(len(rows), *seen['grids'].shape[2:]),
    )
    divergence = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    torch.testing.assert_close(
        losses['loss_mask_soft'], 0.5 * divergence.mean(), rtol=1e-4, atol=1e-6
    )
    assert min(losses[k].item() for k in losses if k.endswith('_soft')) > 0


def test_full_pass_losses_are_the_stock_ones():
    model = build(detector_config())
    data = model.data_preprocessor(batch(), True)
    losses = []
    for mode in ('loss', 'full'):
        torch.manual_seed(0)
        losses.append(model.parse_losses(copy.deepcopy(model)(**copy.deepcopy(data), mode=mode))[1])
    assert losses[0].keys() == losses[1].keys()
    assert all(torch.equal(losses[0][k], losses[1][k]) for k in losses[0])


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


def test_fewer_rois_on_request():
    model = build(detector_config(distill=dict(max_rois=10)))
    data = taught(model, batch())
    calls = []
    original = model.roi_head._bbox_forward
    model.roi_head._bbox_forward = lambda x, rois: calls.append(rois) or original(x, rois)
    losses = subnet_losses(model, data, Scale(0.5), 0.5)
    assert len(calls[0]) == 20
    assert (calls[0][:, 0] == 0).sum() == 10
    assert losses['loss_mask_soft'] > 0


@pytest.mark.parametrize('num_items', [(0, 0), (0, 3), (2,), (0,)])
@pytest.mark.parametrize(
    'distill', [None, dict.fromkeys(SOFT, 'both'), 'labels'], ids=['default', 'both', 'labels']
)
@pytest.mark.parametrize('mask', [True, False])
def test_unusual_batches_train(num_items, distill, mask):
    model = build(detector_config(mask, distill=distill))
    optim = torch.optim.SGD(model.parameters(), lr=0.001)
    from mmengine.optim import OptimWrapper

    log = model.train_step(batch(num_items, mask=mask), OptimWrapper(optim))
    assert torch.isfinite(log['loss'])


def test_crowd_only_images_train():
    from mmengine.optim import OptimWrapper

    model = build(detector_config(distill=dict.fromkeys(SOFT, 'both')))
    data = batch((2, 2))
    for sample in data['data_samples']:
        sample.ignored_instances = sample.gt_instances[:]
        sample.gt_instances = sample.gt_instances[:0]
    log = model.train_step(data, OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.001)))
    assert torch.isfinite(log['loss'])


def test_shared_roi_features():
    config = detector_config(distill=SOFT)
    config.roi_head.mask_roi_extractor = None
    config.roi_head.bbox_roi_extractor.roi_layer.output_size = 14
    config.roi_head.bbox_head.roi_feat_size = 14
    model = build(config)
    data = taught(model, batch())
    losses = subnet_losses(model, data, Scale(1.0))
    assert losses['loss_mask_soft'].abs() < 1e-5


def test_iou_losses_get_boxes_in_pixels():
    config = detector_config(distill=dict(roi_bbox='hard'))
    config.roi_head.bbox_head.reg_decoded_bbox = True
    config.roi_head.bbox_head.loss_bbox = dict(type='GIoULoss', loss_weight=1.0)
    model = build(config)
    data = taught(model, batch())
    full = subnet_losses(model, data, Scale(1.0))['loss_roi_bbox_hard']
    turned = subnet_losses(model, data, DrawnChain((Rotate(1), Scale(0.5))))['loss_roi_bbox_hard']
    # Deltas near zero: the RoIs themselves against their objects, which IoU keeps when both move.
    torch.testing.assert_close(turned, full, rtol=0.05, atol=0.01)


def test_soft_objectness_does_not_grow_with_the_image():
    """Four times the image, four times the anchors and objects: the same loss."""
    model = build(detector_config(distill=dict(rpn_cls='soft')))
    torch.nn.init.normal_(model.rpn_head.rpn_cls.weight, std=0.5)
    losses = []
    for tiles in (1, 2, 4):
        data = model.data_preprocessor(batch((2,)), True)
        data['inputs'] = data['inputs'].repeat(1, 1, tiles, tiles)
        for sample in data['data_samples']:
            size = (128 * tiles, 128 * tiles)
            sample.set_metainfo(dict(img_shape=size, pad_shape=size, batch_input_shape=size))
        torch.manual_seed(0)
        model(**data, mode='full')
        losses.append(subnet_losses(model, data, Scale(0.75), 0.5)['loss_rpn_cls_soft'].item())
    assert max(losses) < 1.5 * min(losses)
    assert losses[0] > 0


def test_anchors_off_the_image_teach_nothing():
    model = build(detector_config())
    _, mapping = Scale(0.6)(torch.zeros(1, 3, 128, 128))  # 77 pixels, padded to 96
    maps = [torch.zeros(1, 3, 96 // s, 96 // s) for s in (4, 8, 16, 32)] + [torch.zeros(1, 3, 2, 2)]
    cropped = model._distillers[0].priors.without_padding(maps, mapping.out_size)
    assert [m.size(-1) for m in cropped] == [20, 10, 5, 3, 2]


@pytest.mark.parametrize(
    'change',
    [
        dict(anchor_generator=dict(type='AnchorGenerator', strides=[4, 8, 16, 32, 64], ratios=[1.0],
                                   base_sizes=[32, 48, 64, 80, 96], scales=[1])),
        dict(type='GARPNHead'),
    ],
    ids=['anchors', 'head'],
)  # fmt: skip
def test_proposal_networks_of_other_forms_are_not_distilled(change):
    config = detector_config()
    if change.get('type'):
        from mmdet.models.dense_heads import RPNHead

        class OtherRPN(RPNHead):
            def forward(self, x):
                return super().forward(x)

        head = build(config).rpn_head
        head.__class__ = OtherRPN
    else:
        config.rpn_head.anchor_generator = change['anchor_generator']
        head = build(config).rpn_head
    assert not RPNDistiller.supports(head)
    assert RPNDistiller.supports(build(detector_config()).rpn_head)


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
