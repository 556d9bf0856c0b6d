"""ResNeXt in the slimmable backbone."""

import pytest
import torch
import torchvision
from mmdet.models.backbones import ResNeXt
from mmengine.registry import MODELS
from torch import nn

from mmgradaug import SlimmableResNeXt, extract_subnet
from mmgradaug.errors import ConfigError
from mmgradaug.publishing.narrow import narrow_backbone
from tests.networks import random_images, randomised
from tests.oracles import (
    assert_narrow_stock_network_is_the_slice,
    assert_slice_equals_dense,
)

SMALL = dict(depth=50, base_channels=16, groups=8, base_width=2)
DCN = dict(dcn=dict(type='DCN'), stage_with_dcn=(False, False, True, True))
DCNV2 = DCN | dict(dcn=dict(type='DCNv2', deform_groups=1))
GN = dict(norm_cfg=dict(type='GN', num_groups=8))
WS = dict(conv_cfg=dict(type='ConvWS'))
PLUGINS = dict(
    plugins=[
        dict(
            cfg=dict(type='ContextBlock', ratio=1 / 4),
            stages=(False, True, True, True),
            position='after_conv3',
        )
    ]
)
VARIANTS = [{}, DCN, DCNV2, GN | WS, PLUGINS, dict(groups=1), dict(style='caffe', deep_stem=True)]


def small(**options):
    return randomised(SlimmableResNeXt(**(SMALL | dict(norm_eval=False) | options))).train()


@pytest.mark.parametrize('options', [*VARIANTS, dict(frozen_stages=2, with_cp=True)], ids=str)
def test_full_width_is_the_stock_backbone_bitwise(options):
    slim = small(**options)
    stock = ResNeXt(**(SMALL | dict(norm_eval=False) | options))
    stock.train()
    stock.load_state_dict(slim.state_dict(), strict=True)
    for network in (slim, stock):
        outs = network(random_images(2, 3, 96, 96))
        sum(out.square().mean() for out in outs).backward()
        network.outs = outs
    assert all(torch.equal(a, b) for a, b in zip(slim.outs, stock.outs, strict=True))
    for (name, p), (_, q) in zip(slim.named_parameters(), stock.named_parameters(), strict=True):
        assert p.requires_grad == q.requires_grad, name
        assert (p.grad is None and q.grad is None) or torch.equal(p.grad, q.grad), name
    for (name, a), (_, b) in zip(slim.named_buffers(), stock.named_buffers(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize('width', [0.3, 0.7, 1.0])
@pytest.mark.parametrize(
    'options',
    [*VARIANTS, dict(width_divisor=8), dict(width_divisor=16), dict(groups=64, base_width=1)],
    ids=str,
)
def test_slice_is_the_dense_network(options, width):
    network = small(**options).double()
    x = random_images(2, 3, 96, 96, dtype=torch.float64)
    assert_slice_equals_dense(network, width, x)


def test_groups_keep_their_size():
    dense = extract_subnet(SlimmableResNeXt(depth=50, groups=32, base_width=4), 0.9)
    assert type(dense) is ResNeXt
    for stage, size in enumerate((4, 8, 16, 32), 1):
        for block in dense.get_submodule(f'layer{stage}'):
            conv = block.conv2
            assert type(conv) is nn.Conv2d
            assert (conv.groups, conv.weight.size(1), conv.out_channels) == (29, size, 29 * size)
    assert (dense.conv1.out_channels, dense.layer1[0].conv3.out_channels) == (57, 230)


def test_torchvision_weights_load(tmp_path):
    weights = torchvision.models.resnext50_32x4d().state_dict()
    torch.save(weights, tmp_path / 'resnext.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'resnext.pth'))
    options = dict(depth=50, groups=32, base_width=4, init_cfg=init_cfg)
    slim = MODELS.build(dict(type='SlimmableResNeXt', **options))
    slim.init_weights()
    assert all(torch.equal(v, weights[k]) for k, v in slim.state_dict().items())


@pytest.mark.parametrize('width', [0.9, 0.5])
@pytest.mark.parametrize(
    'options',
    [
        {},
        DCNV2,
        dict(width_divisor=4),
        dict(groups=1),
        dict(groups=2, base_width=32),  # of which one group is left at 0.5
        dict(regulariser=dict(type='StochasticDepth')),
    ],
    ids=str,
)
def test_the_narrow_stock_network_is_the_sub_network(options, width):
    network = small(**options).double().eval()
    stock = dict(type='ResNeXt', **SMALL) | options
    for ours in ('width_divisor', 'regulariser'):
        stock.pop(ours, None)
    x = random_images(1, 3, 96, 96, dtype=torch.float64)
    assert_narrow_stock_network_is_the_slice(network, stock, width, x)


@pytest.mark.parametrize(('width', 'base', 'groups'), [(0.9, 58, 29), (0.8, 52, 26), (0.5, 32, 16)])
def test_resnext50_becomes_a_barely_wider_stock_network(width, base, groups):
    parent = SlimmableResNeXt(depth=50, groups=32, base_width=4)
    stock = dict(type='ResNeXt', depth=50, groups=32, base_width=4)
    made, narrow, _ = narrow_backbone(parent, stock, width)
    assert (made['base_channels'], made['groups']) == (base, groups)
    assert [narrow.layer1[0].conv2.weight.size(1), narrow.layer4[0].conv2.weight.size(1)] == [4, 32]


@pytest.mark.parametrize('base', [49, 50])
def test_a_narrow_network_has_groups_of_the_size_that_mmdet_makes(base):
    """49 * (4 / 49) is a little under 4, and mmdet rounds it down."""
    options = dict(depth=50, base_channels=base, groups=8, base_width=4)
    parent = SlimmableResNeXt(**options)
    made, narrow, _ = narrow_backbone(parent, dict(type='ResNeXt', **options), 0.97)
    assert (made['base_channels'], made['groups']) == (base, 8)  # of 50 it needs 49 only
    size = parent.layer1[0].conv2.weight.size(1)
    assert narrow.layer1[0].conv2.weight.size(1) == size == {49: 3, 50: 4}[base]


@pytest.mark.parametrize('dcn', [dict(deform_groups=2), dict(groups=2)], ids=str)
def test_groups_of_groups_cannot_be_sliced(dcn):
    with pytest.raises(ConfigError, match=r'model\.backbone\.dcn=.*cannot be sliced'):
        SlimmableResNeXt(**SMALL | DCN | dict(dcn=dict(type='DCN') | dcn))
