"""Distillation of the region proposal network: targets of anchors, through scale and turns."""

import pytest
import torch
from mmdet.models.dense_heads import RPNHead

from mmgradaug.detection.distillation.rpn import RPNDistiller
from mmgradaug.transforms import GeometricMap, Scale
from tests.detection.passes import SOFT, subnet_losses
from tests.networks import batch, build, detector_config


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
