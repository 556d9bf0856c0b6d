"""Deformable convolutions that are sliced; of networks with them tells test_resnet.py."""

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import deform_conv2d

from mmgradaug.backbones.deformable import SlimDeformConv2dPack, SlimModulatedDeformConv2dPack
from tests.networks import random_images, randomised
from tests.oracles import relative_error


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
