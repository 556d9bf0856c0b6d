"""Distillation of RoI heads beyond the standard one: each stage learns on the full pass's RoIs."""

from unittest import mock

import pytest
import torch
from mmdet.models.detectors import TridentFasterRCNN
from mmengine.registry import MODELS

from mmgradaug.detection.distillation import HEADS, STOCK_LOSSES, find_distillers
from mmgradaug.detection.distillation.mask_scoring import mask_ious, meaningful_iou
from mmgradaug.transforms import DrawnChain, GeometricMap, Rotate, Scale
from tests.detection.passes import (
    BOTH,
    HARD,
    OFF,
    SOFT,
    full_losses,
    preprocessed,
    subnet_losses,
    taught,
    watched,
)
from tests.networks import as_list, batch, build, mmdet_config, two_stage_config
from tests.training.steps import assert_close, gradients, sgd, step_gradients, summed_gradients

FAMILIES = {
    'faster': 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco',
    'mask': 'mask_rcnn/mask-rcnn_r50_fpn_1x_coco',
    'cascade': 'cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco',
    'cascade_mask': 'cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco',
    'double': 'double_heads/dh-faster-rcnn_r50_fpn_1x_coco',
    'dynamic': 'dynamic_rcnn/dynamic-rcnn_r50_fpn_1x_coco',
    'mask_scoring': 'ms_rcnn/ms-rcnn_r50-caffe_fpn_1x_coco',
    'htc': 'htc/htc-without-semantic_r50_fpn_1x_coco',
    'htc_semantic': 'htc/htc_r50_fpn_1x_coco',
}
SOFT_LOSSES = dict(faster=4, mask=5, cascade=8, cascade_mask=11, double=4, dynamic=4,
                   mask_scoring=6, htc=11, htc_semantic=12)  # fmt: skip
every_family = pytest.mark.parametrize('family', FAMILIES)
# The others run the same code with fewer heads.
MAIN = [family for family in FAMILIES if family not in ('faster', 'cascade', 'htc')]


def family_config(family, **gradaug):
    """A tiny detector's config, lenient enough for RoIs beside the objects to be positive."""
    config = two_stage_config(FAMILIES[family], **gradaug)
    for stage in as_list(config.train_cfg.rcnn):
        stage.assigner.update(pos_iou_thr=0.3, neg_iou_thr=0.3, min_pos_iou=0.3)
    return config


def family_model(family, **gradaug):
    """A tiny detector whose RoI outputs are far from zero."""
    model = build(family_config(family, **gradaug))
    torch.manual_seed(7)
    for parameter in model.roi_head.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    return model


def family_batch(family, num_items=(3, 2)):
    return batch(num_items, semantic=family == 'htc_semantic')


@every_family
def test_a_student_equal_to_its_teacher_has_nothing_to_learn(family):
    model = family_model(family, distill=SOFT)
    data = taught(model, family_batch(family))
    losses = subnet_losses(model, data, Scale(1.0))
    soft = [name for name in losses if name.endswith('_soft')]
    assert len(soft) == SOFT_LOSSES[family]
    for name, loss in losses.items():
        assert loss.abs() < 1e-5 or 'loss' not in name, name
        assert loss == 1 or 'agree' not in name, name
    largest = max(p.grad.abs().max().item() for p in model.parameters() if p.grad is not None)
    assert largest < 1e-6


@every_family
def test_hard_losses_on_the_same_images_are_the_full_passes(family):
    model = family_model(family, distill=HARD)
    data = preprocessed(model, family_batch(family))
    full = model.parse_losses(full_losses(model, data))[1]
    subnet = subnet_losses(model, data, Scale(1.0))
    names = [name for name in full if 'loss_' in name]
    for name in names:
        renamed = name.replace('loss_cls', 'loss_roi_cls').replace('loss_bbox', 'loss_roi_bbox')
        assert full[name] > 0, name
        torch.testing.assert_close(subnet[f'{renamed}_hard'], full[name])
    assert len(names) == sum(name.endswith('_hard') for name in subnet)


@every_family
@pytest.mark.parametrize(
    'transform', [Scale(0.6), DrawnChain((Rotate(1), Scale(0.75)))], ids=['scaled', 'turned']
)
def test_every_stage_runs_on_the_full_passes_rois_moved(family, transform, monkeypatch):
    """Nothing is proposed, assigned or sampled again; boxes turn into the same boxes, moved."""
    model = family_model(family, distill=SOFT)
    data = preprocessed(model, family_batch(family))
    calls = watched(model.roi_head, '_bbox_forward', '_mask_forward').mock_calls
    full_losses(model, data)
    of_full = len(calls)
    refused = mock.Mock(side_effect=AssertionError('a sub-network pass makes no RoIs of its own'))
    for assigner in as_list(model.roi_head.bbox_assigner):
        monkeypatch.setattr(assigner, 'assign', refused)
    for sampler in as_list(model.roi_head.bbox_sampler):
        monkeypatch.setattr(sampler, 'sample', refused)
    monkeypatch.setattr(model.rpn_head, 'predict_by_feat', refused)
    subnet_losses(model, data, transform, width=0.5)
    _, mapping = transform(data['inputs'])
    rois = [call.kwargs['rois'] if 'rois' in call.kwargs else call.args[-1] for call in calls]
    assert len(rois) == 2 * of_full >= 2
    for before, after in zip(rois[:of_full], rois[of_full:], strict=True):
        assert torch.equal(mapping.rois(before), after)


@pytest.mark.parametrize('family', ['cascade_mask', 'mask_scoring'])
@pytest.mark.parametrize('turns', [1, 2, 3])
def test_a_student_that_turns_with_the_image_has_nothing_to_learn(family, turns):
    """Boxes agnostic of the class, in the cascade, and of each class."""
    model = family_model(family, distill=SOFT)
    taught(model, family_batch(family))
    mapping = GeometricMap((128, 128), (64, 64), turns)
    stage = model._distillers[1].stages[-1]
    box, mask = stage.boxes, stage.masks
    deltas = mapping.deltas(box.bbox_pred.unflatten(1, (-1, 4))).flatten(1)
    logits = torch.zeros(len(mask.labels), 3, *mask.targets.shape[1:])
    logits[range(len(logits)), mask.labels] = mask.probabilities.logit().rot90(turns, (1, 2))
    losses = stage.box_losses(dict(cls_score=box.cls_score, bbox_pred=deltas), mapping, 1.0)
    losses |= stage.mask_losses(logits, mapping, 1.0)
    for name in ('roi_cls', 'roi_bbox', 'mask'):
        assert losses[f'loss_{name}_soft'].abs() < 1e-5
    unturned = stage.box_losses(
        dict(cls_score=box.cls_score, bbox_pred=box.bbox_pred), mapping, 1.0
    )
    assert unturned['loss_roi_bbox_soft'] > 1e-3


TARGETS = (None, BOTH, 'labels')


@pytest.mark.parametrize(
    ('family', 'num_items', 'distill'),
    [(family, items, None) for family in MAIN for items in [(0, 3), (2,)]]
    + [('mask', items, distill) for distill in TARGETS[1:] for items in [(0, 3), (2,)]]
    + [(family, (0, 0), distill) for family in ('mask', 'faster') for distill in TARGETS],
)
def test_a_step_trains_on_unusual_batches(family, num_items, distill):
    transform = dict(type='RandomScale', scales=[0.6])
    model = family_model(family, transform=transform, distill=distill)
    before = model.rpn_head.rpn_cls.weight.clone()
    log = model.train_step(family_batch(family, num_items), sgd(model, lr=0.001))
    assert torch.isfinite(log['loss'])
    assert log['subnet1/width'] == 0.5
    assert log['subnet1/scale'] == pytest.approx(0.6, abs=0.01)
    assert any('_soft' in key for key in log) == (distill != 'labels')
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())
    assert not torch.equal(before, model.rpn_head.rpn_cls.weight)


@pytest.mark.parametrize('family', MAIN)
@pytest.mark.parametrize(
    ('num_items', 'distill'),
    [((3, 2), OFF), ((0, 0), None), ((0, 0), {k: 'off' for k in OFF if k != 'rpn_bbox'})],
    ids=['off', 'no objects', 'no objects, proposals alone'],
)
def test_every_pass_gives_every_trained_parameter_a_gradient(family, num_items, distill):
    model = family_model(family, distill=distill)
    data = preprocessed(model, family_batch(family, num_items))
    model.parse_losses(full_losses(model, data))[0].backward()
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert set(gradients(model)) == trained
    model.zero_grad()
    subnet_losses(model, data, Scale(0.6), width=0.5)
    assert set(gradients(model)) == trained


@pytest.mark.parametrize(
    ('family', 'distill'),
    [(family, BOTH) for family in MAIN] + [('mask', 'labels'), ('faster', None)],
)
def test_gradients_are_the_sum_over_passes(family, distill):
    model = family_model(family, num_subnets=3, distill=distill)
    data = family_batch(family)
    expected = summed_gradients(model, data)
    assert_close(step_gradients(model, data), expected, 2e-5)


def test_stages_have_the_heads_own_weights():
    model = family_model('cascade', distill=HARD)
    model.roi_head.stage_loss_weights = [1.0, 0.5, 0.0]
    losses = subnet_losses(model, taught(model, batch()), Scale(0.6), width=0.5)
    assert losses['s0.loss_roi_cls_hard'] > 0
    assert losses['s2.loss_roi_cls_hard'] == losses['s2.loss_roi_bbox_hard'] == 0
    model.roi_head.stage_loss_weights = [2.0, 1.0, 1.0]
    other = subnet_losses(model, taught(model, batch()), Scale(0.6), width=0.5)
    for name in ('s0.loss_roi_cls_hard', 's1.loss_roi_bbox_hard'):
        torch.testing.assert_close(other[name], 2 * losses[name])


def test_stages_that_the_full_pass_did_not_reach_stay_in_the_graph(monkeypatch):
    """mmdet breaks off a cascade that has run out of RoIs."""
    model = family_model('cascade_mask')
    monkeypatch.setattr(model.roi_head.bbox_head[0], 'refine_bboxes', lambda *args: None)
    losses = subnet_losses(model, taught(model, batch()), Scale(0.6), width=0.5)
    assert 's0.loss_roi_cls_hard' in losses
    assert 's1.loss_roi_cls_hard' not in losses
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize('family', ['mask', 'htc', 'mask_scoring'])
def test_max_rois_holds_for_every_sampling(family):
    """Also for the second one that interleaved execution makes."""
    model = family_model(family, distill=dict(max_rois=8))
    losses = subnet_losses(model, taught(model, family_batch(family)), Scale(0.6), width=0.5)
    for stage in model._distillers[1].stages:
        boxes, masks = stage.boxes.rois, stage.masks.rois
        assert torch.bincount(boxes[:, 0].long()).tolist() == [8, 8]
        assert 0 < len(masks) < 16
    assert all(torch.isfinite(loss) for loss in losses.values())


def dynamic_model(interval, **gradaug):
    """One that learns beta from the largest deltas, not from those of the objects: zero."""
    config = family_config('dynamic', **gradaug)
    options = dict(update_iter_interval=interval, beta_topk=99, initial_beta=100.0)
    config.train_cfg.rcnn.dynamic_rcnn.update(options)
    return build(config)


def dynamic_histories(**gradaug):
    model = dynamic_model(2, **gradaug)
    head, seen = model.roi_head, []
    for index in range(3):
        torch.manual_seed(index)
        model.train_step(batch((3, 2 + index)), sgd(model))
        beta, threshold = head.bbox_head.loss_bbox.beta, head.bbox_assigner.pos_iou_thr
        seen.append((list(head.iou_history), list(head.beta_history), beta, threshold))
    return seen


@pytest.mark.parametrize('distill', [None, 'labels'])
def test_subnets_leave_the_histories_of_dynamic_rcnn_alone(distill):
    plain = dynamic_histories(num_subnets=0)
    gradaug = dynamic_histories(num_subnets=1, distill=distill)
    assert gradaug == plain
    assert [len(step[0]) for step in gradaug] == [1, 0, 1]
    assert gradaug[0][2] == 1.0
    assert gradaug[1][2] not in (0.0, 1.0)  # beta was updated from the history
    assert gradaug[1][3] != gradaug[0][3]  # and the threshold


def test_all_passes_of_an_iteration_have_one_beta(monkeypatch):
    model, betas = dynamic_model(1, num_subnets=2), []
    loss_bbox = model.roi_head.bbox_head.loss_bbox
    loss_bbox.register_forward_pre_hook(lambda module, args: betas.append(module.beta))
    for _ in range(2):
        model.train_step(batch(), sgd(model))
    assert betas[:3] == [1.0] * 3
    assert betas[3:] == [betas[3]] * 3
    assert betas[3] not in (0.0, 1.0)


def test_mask_iou_counts_the_object_outside_the_roi():
    masks, targets = torch.zeros(2, 1, 4, 4)
    masks[:, :, :2], targets[:, :2] = 1, 1  # left half predicted, upper half true
    ious = mask_ious(masks.bool(), targets, torch.tensor([0.5]))
    torch.testing.assert_close(ious, torch.tensor([4 / (8 + 16 - 4)]))


def test_predicted_ious_out_of_range_mean_its_ends():
    student = torch.tensor([-3.0, 0.4, 0.4, 5.0, 0.4])
    teacher = torch.tensor([-0.1, -9.0, 0.7, 1.5, 2.0])
    assert meaningful_iou(student, teacher).tolist() == pytest.approx([-3.0, 0.0, 0.7, 5.0, 1.0])


def test_hard_mask_iou_is_that_of_the_students_own_mask():
    model = family_model('mask_scoring', distill=HARD)
    data = taught(model, batch())
    iou_head, seen = model.roi_head.mask_iou_head, {}
    iou_head.register_forward_pre_hook(lambda m, args: seen.update(mask=args[1]))
    iou_head.loss_iou.register_forward_pre_hook(lambda m, args: seen.update(target=args[1]))
    subnet_losses(model, data, Scale(0.6), width=0.5)
    _, visible = model._distillers[1].teacher
    truth = mask_ious(seen['mask'] > 0.5, model._distillers[1].stages[0].masks.targets, visible)
    torch.testing.assert_close(seen['target'], truth[truth > 0])
    assert visible.min() < 1


SUPPORTED = [
    *FAMILIES.values(),
    'libra_rcnn/libra-faster-rcnn_r50_fpn_1x_coco',
    'tridentnet/tridentnet_r50-caffe_1x_coco',
]
OTHER_HEADS = [
    'point_rend/point-rend_r50-caffe_fpn_ms-1x_coco',
    'grid_rcnn/grid-rcnn_r50_fpn_gn-head_2x_coco',
    'sabl/sabl-faster-rcnn_r50_fpn_1x_coco',
    'sabl/sabl-cascade-rcnn_r50_fpn_1x_coco',
    'pisa/faster-rcnn_r50_fpn_pisa_1x_coco',
    'scnet/scnet_r50_fpn_1x_coco',
    'sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco',
    'crowddet/crowddet-rcnn_r50_fpn_8xb2-30e_crowdhuman',
    'seesaw_loss/mask-rcnn_r50_fpn_seesaw-loss_random-ms-2x_lvis-v1',
]


@pytest.mark.parametrize('name', [*SUPPORTED, *OTHER_HEADS])
def test_a_head_has_one_distillation_or_none(name):
    model = mmdet_config(name).model
    cfg = dict(train_cfg=model.train_cfg.rcnn, test_cfg=model.test_cfg.rcnn)
    with torch.device('meta'):
        head = MODELS.build(model.roi_head | cfg)
    found = [distiller for distiller in HEADS['roi_head'] if distiller.supports(head)]
    assert len(found) == (name in SUPPORTED)


def test_a_detector_with_a_loss_of_its_own_is_not_distilled():
    """TridentNet has the standard RoI head, but repeats the images once a branch."""
    assert TridentFasterRCNN.loss not in STOCK_LOSSES
    model = family_model('cascade')
    model.__class__ = type('Own', (type(model),), dict(loss=lambda self, *args: {}))
    assert find_distillers(model, model._config)[0] == []
    assert 'way to compute losses' in find_distillers(model, model._config)[1]


@pytest.mark.parametrize('method', ['_mask_forward', 'bbox_loss', None])
def test_subclasses_are_distilled_if_they_replay_alike(method):
    head = family_model('htc').roi_head
    own = {method: lambda self, *args, **kwargs: {}} if method else dict(predict=lambda self: [])
    head.__class__ = type('OwnHead', (type(head),), own)
    assert any(distiller.supports(head) for distiller in HEADS['roi_head']) == (method is None)
