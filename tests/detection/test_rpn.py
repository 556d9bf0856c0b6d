"""Distillation of the region proposal network: a dense head of one class."""

import torch
from mmdet.models.dense_heads import RPNHead

from mmgradaug.detection.distillation.dense import RPNDistiller
from mmgradaug.transforms import Scale
from tests.detection.passes import HARD, full_losses, preprocessed, subnet_losses
from tests.networks import batch, build, detector_config


def test_hard_losses_are_the_stock_ones_of_one_class():
    model = build(detector_config(distill=HARD))
    data = preprocessed(model, batch())
    full = model.parse_losses(full_losses(model, data))[1]
    subnet = subnet_losses(model, data, Scale(1.0))
    for name in ('rpn_cls', 'rpn_bbox'):
        assert full[f'loss_{name}'] > 0
        assert torch.equal(subnet[f'loss_{name}_hard'], full[f'loss_{name}'])


def test_anchors_off_the_image_teach_nothing():
    model = build(detector_config())
    _, mapping = Scale(0.6)(torch.zeros(1, 3, 128, 128))  # 77 pixels, padded to 96
    maps = [torch.zeros(1, 3, 96 // s, 96 // s) for s in (4, 8, 16, 32)] + [torch.zeros(1, 3, 2, 2)]
    cropped = model._distillers[0].priors.without_padding(maps, mapping.out_size)
    assert [m.size(-1) for m in cropped] == [20, 10, 5, 3, 2]


class OtherRPN(RPNHead):
    """One that may say anything."""

    def forward(self, x):
        return super().forward(x)


def test_proposal_networks_of_other_forms_are_not_distilled():
    config = detector_config()
    head = build(config).rpn_head
    assert RPNDistiller.supports(head)
    head.__class__ = OtherRPN
    assert not RPNDistiller.supports(head)
    config.rpn_head.anchor_generator = dict(
        type='AnchorGenerator',
        strides=[4, 8, 16, 32, 64],
        ratios=[1.0],
        base_sizes=[32, 48, 64, 80, 96],  # which are not twice as large from level to level
        scales=[1],
    )
    assert not RPNDistiller.supports(build(config).rpn_head)
