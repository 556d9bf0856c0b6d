import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmgradaug.slimmable import (
    SlimBatchNorm2d,
    SlimConv2d,
    SlimSyncBatchNorm,
    at_width,
    pad_channels,
)
from tests.networks import random_images, randomised


@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize(('width', 'kept'), [(0.3, 3), (0.5, 4), (1.0, 8)])
def test_conv_keeps_first_channels(bias, width, kept):
    """0.3 of 8 is 2.4, which rounds to 2, under 0.9 of it."""
    slim = randomised(SlimConv2d(6, 8, 3, stride=2, padding=1, dilation=1, bias=bias))
    x = random_images(2, 4, 7, 7)
    with at_width(slim, width):
        out = slim(x)
    full = slim(pad_channels(x, 6))
    assert out.size(1) == kept
    assert pad_channels(x, 4) is x
    torch.testing.assert_close(out, full[:, :kept], rtol=1e-6, atol=1e-6)


def test_a_grouped_conv_keeps_the_first_groups():
    """By one ordinary convolution for each group."""
    slim = randomised(SlimConv2d(12, 24, 3, padding=1, groups=4, divisor=6)).double()
    x = random_images(2, 9, 7, 7, dtype=torch.float64)
    with at_width(slim, 0.7):  # 16.8 channels: 3 groups of 6
        out = slim(x)
        assert (slim.groups, out.size(1)) == (3, 18)
    assert slim.groups == 4
    parts = zip(x.split(3, 1), slim.weight.split(6), slim.bias.split(6), strict=False)
    expected = torch.cat([F.conv2d(part, w, b, padding=1) for part, w, b in parts], 1)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)


def test_parts_of_a_conv_group_are_refused():
    slim = SlimConv2d(12, 24, 3, groups=4)
    words = '17 channels, expected a multiple of 6'
    with pytest.raises(ValueError, match=words), at_width(slim, 0.7):
        pass
    assert (slim.width, slim.groups) == (None, 4)


@pytest.mark.parametrize('norm', [SlimBatchNorm2d, SlimSyncBatchNorm])
@pytest.mark.parametrize('affine', [True, False])
def test_norm_uses_first_statistics_in_evaluation(norm, affine):
    slim = randomised(norm(6, affine=affine)).eval()
    x = random_images(2, 4, 3, 3)
    expected = slim(pad_channels(x, 6))[:, :4]
    with at_width(slim, 0.7):
        torch.testing.assert_close(slim(x), expected)


def test_a_norm_without_running_statistics_uses_the_batchs_in_evaluation_too():
    slim = SlimBatchNorm2d(6, affine=False, track_running_stats=False).eval()
    x = random_images(2, 4, 3, 3)
    with at_width(slim, 0.7):
        torch.testing.assert_close(slim(x), F.batch_norm(x, None, None, training=True))


@pytest.mark.parametrize('norm', [SlimBatchNorm2d, SlimSyncBatchNorm])
@pytest.mark.parametrize('frozen', [False, True])
def test_norm_uses_own_batch_statistics_in_a_subnet_pass(norm, frozen):
    """Also a frozen one, of which the full network reads the running statistics."""
    slim = randomised(norm(6)).train(not frozen)  # as norm_eval=True does in a model that trains
    before = {k: v.clone() for k, v in slim.state_dict().items()}
    x = random_images(3, 4, 5, 5)
    with at_width(nn.ModuleList([slim]), 0.7):
        out = slim(x)
    normal = (x - x.mean((0, 2, 3), keepdim=True)) / (
        x.var((0, 2, 3), unbiased=False, keepdim=True) + slim.eps
    ).sqrt()
    expected = normal * slim.weight[:4, None, None] + slim.bias[:4, None, None]
    torch.testing.assert_close(out, expected)
    out.sum().backward()
    assert slim.weight.grad[:4].abs().sum() > 0
    assert slim.weight.grad[4:].abs().sum() == 0
    assert all(torch.equal(before[k], v) for k, v in slim.state_dict().items())
