import pytest
import torch
import torch.nn.functional as F

from mmgradaug import at_width, extract_subnet
from mmgradaug.backbones.pyramidnet import PyramidBlock
from mmgradaug.backbones.residual import padded_shortcut
from mmgradaug.slimmable import active_channels
from tests.backbones.small import small
from tests.networks import random_images


@pytest.mark.parametrize('name', ['pyramid', 'pyramid_basic'])
def test_shortcuts_are_the_blocks_input_and_silent_channels(name):
    """At a width too: a block whose residual is silent passes on the input's own channels."""
    network = small(name)
    blocks = [m for m in network.modules() if isinstance(m, PyramidBlock)]
    x = random_images(2, 3, 10, 10)
    seen = []

    def check(block, args, out):
        (before,) = args
        expected = F.avg_pool2d(before, 2, ceil_mode=True) if block.stride == 2 else before
        assert torch.equal(out[:, : before.size(1)], expected)
        assert out.size(1) > before.size(1) and out[:, before.size(1) :].abs().sum() == 0
        seen.append((before.size(1), out.size(1)))

    for block in blocks:
        last = getattr(block, f'bn{block.layers + 1}')
        torch.nn.init.zeros_(last.weight), torch.nn.init.zeros_(last.bias)
        block.register_forward_hook(check)
    with at_width(network, 0.7):
        network(x)
    assert len(seen) == 6
    for block, (_, channels) in zip(blocks, seen, strict=True):
        last = getattr(block, f'conv{block.layers}')
        assert channels == active_channels(last.out_channels, 0.7)


def test_bottlenecks_and_stem_round_as_a_quarter():
    dense = extract_subnet(small('pyramid'), 0.9)
    assert dense.conv1.out_channels == 14  # int(0.25 * round(57.6))
    block = dense.layer1[0]  # 20 channels in the middle, 80 in the end
    assert [c.out_channels for c in (block.conv1, block.conv2, block.conv3)] == [18, 18, 72]
    basic = extract_subnet(small('pyramid_basic'), 0.9)
    assert basic.conv1.out_channels == 14  # round(14.4)


def test_subsampling_takes_the_first_pixel_and_averaging_all():
    x = torch.arange(9.0).reshape(1, 1, 3, 3)
    assert padded_shortcut(x, 2, 2)[0].tolist() == [[[0, 2], [6, 8]], [[0, 0], [0, 0]]]
    assert padded_shortcut(x, 1, 2, average=True)[0].tolist() == [[[2, 3.5], [6.5, 8]]]
