"""Distillation of the standard RoI head: what a sub-network is asked to say, on which RoIs."""

import torch

from mmgradaug.transforms import DrawnChain, Rotate, Scale
from tests.detection.passes import SOFT, subnet_losses, taught, watched
from tests.networks import batch, build, detector_config
from tests.training.steps import sgd


def test_turned_hard_targets_are_those_of_the_turned_objects():
    model = build(detector_config())
    data, head = taught(model, batch()), model.roi_head.bbox_head
    calls, transform = watched(head, 'loss'), DrawnChain((Rotate(1), Scale(0.5)))
    _, mapping = transform(data['inputs'])
    subnet_losses(model, data, transform)
    _, _, rois, _, _, targets, _ = calls.loss.call_args.args
    teacher = model._distillers[1].stages[0].boxes
    positive, decode = teacher.is_positive, head.bbox_coder.decode
    objects = decode(teacher.rois[positive, 1:], teacher.targets[2][positive])
    moved = decode(rois[positive, 1:], targets[positive])
    torch.testing.assert_close(moved, mapping.boxes(objects), rtol=1e-3, atol=1e-2)


def test_soft_roi_losses_are_their_formulas():
    """KL divergences and absolute errors, times the heads' own loss weights, by hand."""
    model = build(detector_config(distill=SOFT))
    head, mask_head = model.roi_head.bbox_head, model.roi_head.mask_head
    head.loss_cls.loss_weight, head.loss_bbox.loss_weight = 2.0, 3.0
    mask_head.loss_mask.loss_weight = 0.5
    data = taught(model, batch((4, 3)))
    stage = model._distillers[1].stages[0]
    box, mask, seen = stage.boxes, stage.masks, {}
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
    q, p = seen['grids'][rows, mask.labels].sigmoid(), mask.probabilities
    divergence = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    expected = 0.5 * divergence.mean()
    torch.testing.assert_close(losses['loss_mask_soft'], expected, rtol=1e-4, atol=1e-6)
    assert min(losses[k].item() for k in losses if k.endswith('_soft')) > 0


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


def functions_on(model):
    """What stands on modules themselves and can be called."""
    named = model.named_modules()
    return {name: {k: id(v) for k, v in vars(m).items() if callable(v)} for name, m in named}


def test_recording_leaves_no_trace_and_keeps_methods_that_users_put_on_heads():
    """The one that is recorded, and one that every pass runs: full network, two sub-networks."""
    model = build(detector_config())
    calls = watched(model.roi_head.bbox_head, 'loss_and_target', 'forward')
    before = functions_on(model)
    log = model.train_step(batch(), sgd(model))
    called = [name for name, *_ in calls.mock_calls]
    assert called == ['forward', 'loss_and_target', 'forward', 'forward']
    assert log['subnet1/loss_roi_cls_soft'] > 0
    assert before == functions_on(model)
