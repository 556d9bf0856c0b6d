"""GroupNorm and standardised weights in the slimmable backbone."""

import pytest
import torch
from mmcv.cnn.bricks.conv_ws import ConvWS2d
from mmdet.models.backbones import ResNet
from mmengine.registry import MODELS
from torch import nn

from mmgradaug import SlimmableResNet, SlimmableResNetV1d, extract_subnet
from mmgradaug.publishing.narrow import narrow_backbone
from tests.networks import random_images, randomised, small_resnet
from tests.oracles import (
    assert_narrow_stock_network_is_the_slice,
    assert_slice_equals_dense,
)

GN = dict(norm_cfg=dict(type='GN', num_groups=8, requires_grad=True))
WS = dict(conv_cfg=dict(type='ConvWS'))
WIDE = dict(base_channels=16)


@pytest.mark.parametrize('options', [GN, WS, GN | WS], ids=['GN', 'WS', 'GN + WS'])
@pytest.mark.parametrize('depth', [18, 50])
def test_full_width_is_the_stock_backbone_bitwise(depth, options):
    networks = []
    for network_class in (SlimmableResNet, ResNet):
        torch.manual_seed(0)
        network = network_class(depth, **WIDE, **options)
        network.init_weights()
        networks.append(network)
    slim, stock = networks
    states = [network.state_dict() for network in networks]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[1])
    outs = [network(random_images(2, 3, 64, 64)) for network in (slim, stock)]
    assert all(torch.equal(a, b) for a, b in zip(*outs, strict=True))


@pytest.mark.parametrize('options', [GN, WS, GN | WS], ids=['GN', 'WS', 'GN + WS'])
@pytest.mark.parametrize('depth', [18, 50])
def test_slice_is_the_dense_network(depth, options):
    network = small_resnet(depth, **WIDE, **options).double()
    for width in (0.3, 0.7):
        assert_slice_equals_dense(network, width, random_images(2, 3, 64, 64, dtype=torch.float64))


def test_slice_of_v1d_is_the_dense_network():
    network = randomised(SlimmableResNetV1d(depth=50, **WIDE, **GN, **WS)).double()
    assert_slice_equals_dense(network, 0.7, random_images(2, 3, 64, 64, dtype=torch.float64))


def test_groups_keep_their_size():
    dense = extract_subnet(small_resnet(50, **WIDE, **GN), 0.7)  # 5.6 of 8 groups
    norms = [m for m in dense.modules() if isinstance(m, nn.GroupNorm)]
    assert {type(norm) for norm in norms} == {nn.GroupNorm}
    assert {norm.num_groups for norm in norms} == {6}
    assert sorted({norm.num_channels for norm in norms}) == [12, 24, 48, 96, 192, 384]
    wide = extract_subnet(small_resnet(50, width_divisor=16, **WIDE, **GN), 0.7)
    assert wide.layer1[0].gn3.num_channels == 48


def test_the_narrow_stock_network_is_the_sub_network():
    network = small_resnet(50, **WIDE, **GN, **WS).double().eval()
    stock = dict(type='ResNet', depth=50, **WIDE, **GN, **WS)
    x = random_images(1, 3, 64, 64, dtype=torch.float64)
    made = assert_narrow_stock_network_is_the_slice(network, stock, 0.75, x)
    assert (made['base_channels'], made['norm_cfg']['num_groups']) == (12, 6)
    assert isinstance(MODELS.build(made).conv1, ConvWS2d)


def test_silent_channels_would_change_statistics():
    network = small_resnet(50, **WS)
    with pytest.raises(ValueError, match=r'at width 0.7 silent channels change a statistic'):
        narrow_backbone(network, dict(type='ResNet', depth=50, base_channels=8, **WS), 0.7)
