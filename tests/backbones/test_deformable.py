"""Deformable convolutions in the slimmable backbone."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.models.backbones import ResNet
from torchvision.ops import deform_conv2d

from mmgradaug import SlimmableResNet
from mmgradaug.backbones.deformable import SlimDeformConv2dPack, SlimModulatedDeformConv2dPack
from mmgradaug.errors import ConfigError
from mmgradaug.publishing.narrow import narrow_backbone
from tests.networks import random_images, randomised, small_resnet
from tests.oracles import (
    assert_narrow_stock_network_is_the_slice,
    assert_slice_equals_dense,
    relative_error,
)

LAST_TWO = (False, False, True, True)


def options(kind, groups=1, **others):
    return dict(dcn=dict(type=kind, deform_groups=groups, **others), stage_with_dcn=LAST_TWO)


@pytest.mark.parametrize('groups', [1, 4])
@pytest.mark.parametrize('kind', ['DCN', 'DCNv2'])
def test_full_width_is_the_stock_backbone_bitwise(kind, groups):
    slim = small_resnet(50, frozen_stages=3, **options(kind, groups, fallback_on_stride=False))
    stock = ResNet(50, base_channels=8, norm_eval=False, frozen_stages=3, **options(kind, groups))
    stock.train()
    stock.load_state_dict(slim.state_dict(), strict=True)
    frozen = [[p.requires_grad for p in network.parameters()] for network in (slim, stock)]
    assert frozen[0] == frozen[1]
    assert not slim.layer3[0].conv2.weight.requires_grad
    outs = [network(random_images(1, 3, 96, 128)) for network in (slim, stock)]
    assert all(torch.equal(a, b) for a, b in zip(*outs, strict=True))


@pytest.mark.parametrize('groups', [1, 4])
@pytest.mark.parametrize('kind', ['DCN', 'DCNv2'])
@pytest.mark.parametrize('others', [dict(), dict(style='caffe', width_divisor=4)], ids=str)
def test_slice_is_the_dense_network(kind, others, groups):
    network = small_resnet(50, **options(kind, groups), **others).double()
    assert_slice_equals_dense(network, 0.7, random_images(1, 3, 96, 128, dtype=torch.float64))
    grad = network.layer4[0].conv2.conv_offset.weight.grad
    assert grad.abs().sum() > 0


@pytest.mark.parametrize('channels', [16, 13, 9, 5, 1], ids=str)
@pytest.mark.parametrize('layer', [SlimDeformConv2dPack, SlimModulatedDeformConv2dPack])
def test_a_channel_keeps_the_offsets_of_its_group(layer, channels):
    """By torchvision's convolution of one group, on each group's channels alone."""
    conv = randomised(layer(16, 6, 3, padding=1, deform_groups=4, bias=False)).double()
    conv.set_width(0.5)
    x = random_images(2, 16, 9, 10, dtype=torch.float64)[:, :channels]
    looks = F.conv2d(x, conv.conv_offset.weight[:, :channels], conv.conv_offset.bias, padding=1)
    offsets, masks = looks[:, : 4 * 18].split(18, 1), looks[:, 4 * 18 :].split(9, 1)
    expected = 0
    for group, begin in enumerate(range(0, channels, 4)):
        part = slice(begin, min(begin + 4, channels))
        mask = masks[group].sigmoid() if len(masks) > 1 else None
        weight = conv.weight[:3, part]
        expected += deform_conv2d(x[:, part], offsets[group], weight, padding=1, mask=mask)
    assert relative_error(conv(x), expected) < 1e-12


@pytest.mark.parametrize('width', [None, 0.5])
@pytest.mark.parametrize('groups', [1, 4])
@pytest.mark.parametrize('layer', [SlimDeformConv2dPack, SlimModulatedDeformConv2dPack])
def test_memory_formats_do_not_matter(layer, groups, width):
    conv = randomised(layer(16, 6, 3, padding=1, deform_groups=groups, bias=False)).double()
    conv.set_width(width)
    x = random_images(2, 16, 9, 10, dtype=torch.float64)
    expected = conv(x)
    conv.to(memory_format=torch.channels_last)
    found = conv(x.contiguous(memory_format=torch.channels_last))
    assert relative_error(found, expected) < 1e-12


def test_a_stage_without_switch_keeps_its_convolutions():
    network = SlimmableResNet(50, base_channels=8, dcn=dict(type='DCN'))
    assert network.state_dict().keys() == ResNet(50, base_channels=8).state_dict().keys()


@pytest.mark.parametrize(
    'change',
    [
        dict(dcn=dict(type='DCN', groups=2)),
        dict(dcn=dict(type='DCN', fallback_on_stride=True)),
        dict(dcn=dict(type='Conv2d')),
        dict(depth=18),
    ],
)
def test_what_cannot_be_sliced_is_named(change):
    with pytest.raises(ConfigError, match=r'model\.backbone\.dcn=.*cannot be sliced'):
        SlimmableResNet(**(dict(depth=50, base_channels=8) | options('DCN') | change))


def test_the_narrow_stock_network_is_the_sub_network():
    network = small_resnet(50, **options('DCNv2')).double().eval()
    stock = dict(type='ResNet', depth=50, base_channels=8, **options('DCNv2'))
    x = random_images(1, 3, 96, 128, dtype=torch.float64)
    assert_narrow_stock_network_is_the_slice(network, stock, 0.7, x)


def test_groups_of_the_full_network_are_not_narrowed():
    stock = dict(type='ResNet', depth=50, base_channels=8, **options('DCNv2', 4))
    with pytest.raises(ValueError, match=r"dcn=.*'deform_groups': 4.*leave out --width"):
        narrow_backbone(small_resnet(50, **options('DCNv2', 4)), stock, 0.7)
    network = small_resnet(50, **options('DCNv2', 4)).double().eval()
    x = random_images(1, 3, 96, 128, dtype=torch.float64)
    assert_narrow_stock_network_is_the_slice(network, stock, 1.0, x)
