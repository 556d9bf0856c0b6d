import pytest
import torch
from mmdet.models.backbones import ResNet
from torch import nn

from mmgradaug import SlimmableResNet, at_width, extract_subnet
from mmgradaug.errors import ConfigError
from mmgradaug.slimmable import SlimConv2d
from tests.networks import build, detector_config, random_images, small_resnet
from tests.oracles import assert_slice_equals_dense


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('depth', [18, 34, 50, 101, 152])
def test_every_depth_and_width(depth, dtype):
    network = small_resnet(depth).to(dtype)
    for width in (0.25, 0.5, 0.777, 0.9, 1.0) if depth < 100 else (0.5, 0.9):
        assert_slice_equals_dense(network, width, random_images(2, 3, 48, 64, dtype=dtype))


def test_full_size_resnet50_has_the_released_channels():
    with torch.device('meta'):
        dense = extract_subnet(SlimmableResNet(50), 0.9)
    assert dense.conv1.weight.shape == (57, 3, 7, 7)
    block = dense.layer1[0]
    assert [block.conv1.out_channels, block.conv2.out_channels] == [57, 57]
    assert block.conv3.weight.shape == (230, 57, 1, 1)
    assert block.downsample[0].weight.shape == (230, 57, 1, 1)


def test_result_is_ordinary_and_the_network_unchanged():
    network = small_resnet(50, frozen_stages=1)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    modes = [m.training for m in network.modules()]
    dense = extract_subnet(network, 0.5)
    assert type(dense) is ResNet
    layers = [m for m in dense.modules() if isinstance(m, (nn.Conv2d, nn.BatchNorm2d))]
    assert {type(layer) for layer in layers} == {nn.Conv2d, nn.BatchNorm2d}
    assert [m.training for m in network.modules()] == modes
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    frozen = [n for n, p in dense.named_parameters() if not p.requires_grad]
    assert frozen == [n for n, p in network.named_parameters() if not p.requires_grad]
    assert frozen


def test_layers_of_your_own_may_follow_ordinary_ones():
    network = nn.Sequential(nn.Conv2d(3, 8, 1), SlimConv2d(8, 16, 1)).eval()
    dense, x = extract_subnet(network, 0.5), random_images(1, 3, 8, 8)
    with at_width(network, 0.5):
        assert torch.equal(network(x), dense(x))


def test_what_the_stock_network_does_not_compute_is_refused():
    own = type('Own', (SlimmableResNet,), dict(forward=SlimmableResNet.forward))
    with pytest.raises(ConfigError, match='Own has a forward of its own, which ResNet has not'):
        extract_subnet(own(18, base_channels=8), 0.5)


def test_what_is_no_slimmable_backbone_is_refused():
    for network in (build(detector_config(mask=False)), nn.Conv2d(3, 3, 1)):
        name = type(network).__name__
        with pytest.raises(ConfigError, match=rf'from {name}, expected .* pass model\.backbone'):
            extract_subnet(network, 0.5)
