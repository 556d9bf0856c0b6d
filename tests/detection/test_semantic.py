"""Distillation of heads that segment the whole image."""

import math

import pytest
import torch
from mmengine.structures import PixelData

from mmgradaug.detection.distillation import Target
from mmgradaug.detection.distillation.semantic import soft_semantic
from mmgradaug.transforms import DrawnChain, GeometricMap, Rotate, Scale
from tests.detection.passes import OFF, SOFT, full_losses, preprocessed, subnet_losses, taught
from tests.networks import batch, build, two_stage_config


def panoptic_model(**gradaug):
    """A tiny Panoptic FPN of 3 classes of things and 2 of stuff, far from even probabilities."""
    config = two_stage_config('panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco', **gradaug)
    classes = dict(num_things_classes=3, num_stuff_classes=2)
    config.semantic_head.update(in_channels=16, inner_channels=32, **classes)
    config.panoptic_fusion_head.update(classes)
    model = build(config)
    model.semantic_head.conv_logits.weight.data.normal_()
    return model


def panoptic_batch():
    data = batch()
    for sample, image in zip(data['data_samples'], data['inputs'], strict=True):
        labels = torch.randint(0, 5, (1, *image.shape[1:]))
        sample.gt_sem_seg = PixelData(sem_seg=labels)
    return data


def test_on_the_same_images_soft_losses_vanish_and_hard_ones_are_the_full_passes():
    model = panoptic_model(distill=SOFT | dict(roi_mask='both'))
    data = preprocessed(model, panoptic_batch())
    full = full_losses(model, data)
    losses = subnet_losses(model, data, Scale(1.0))
    assert full['loss_seg'] > 0.1
    torch.testing.assert_close(losses['loss_seg_hard'], full['loss_seg'])
    assert losses['loss_semantic_seg_soft'].abs() < 1e-6
    assert losses['agree_semantic'] == 1


@pytest.mark.parametrize('mode', ['soft', 'hard', 'off'])
def test_a_smaller_turned_copy_reaches_the_head_in_every_mode(mode):
    """Every parameter has a gradient, though only a target makes it more than zero."""
    model = panoptic_model(distill=OFF | dict(roi_mask=mode))
    data = taught(model, panoptic_batch())
    seen = {}
    for name, parameter in model.semantic_head.named_parameters():
        parameter.register_hook(lambda grad, name=name: seen.update({name: grad.abs().max()}))
    subnet_losses(model, data, DrawnChain((Rotate(1), Scale(0.6))), width=0.5)
    assert set(seen) == {name for name, _ in model.semantic_head.named_parameters()}
    assert (seen['conv_logits.weight'] > 0) == (mode != 'off')


def test_soft_loss_is_the_mean_divergence_of_the_images_cells():
    teacher = torch.tensor([0.25, 0.75]).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    logits = torch.zeros(1, 2, 3, 3)
    logits[..., 2] = 1e4  # a column of padding
    logits[:, 1, 2] = 1e4  # and a row
    mapping = GeometricMap((16, 16), (8, 8))
    losses = soft_semantic(logits, teacher, mapping, Target(soft=2.0), 0.5)
    expected = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    assert losses['loss_semantic_seg_soft'] == pytest.approx(expected)
    assert losses['agree_semantic'] == 0  # of even logits the first counts
    assert 'loss_semantic_seg_soft' not in soft_semantic(logits, teacher, mapping, Target(), 1.0)
