import copy

import pytest
import torch
import torchvision
from mmdet.models.backbones import ResNet, ResNetV1d
from mmengine.model.efficient_conv_bn_eval import turn_on_efficient_conv_bn_eval
from mmengine.registry import MODELS
from torch import nn

from mmgradaug import (
    SlimmableDepthResNet,
    SlimmableResNet,
    SlimmableResNetV1d,
    SlimmableResNeXt,
    at_width,
)
from mmgradaug.errors import ConfigError
from tests.networks import random_images, randomised

PAIRS = [
    (SlimmableResNet, ResNet, dict(depth=depth, base_channels=8))
    for depth in (18, 34, 50, 101, 152)
]
PAIRS += [
    (SlimmableResNetV1d, ResNetV1d, dict(depth=50, base_channels=8)),
    (SlimmableResNet, ResNet, dict(depth=50, base_channels=8, norm_eval=False, with_cp=True)),
    (SlimmableResNet, ResNet, dict(depth=50, base_channels=8, norm_eval=False)),
    (SlimmableResNet, ResNet, dict(depth=50, base_channels=8, frozen_stages=2, norm_eval=False)),
    (SlimmableResNet, ResNet, dict(depth=18, base_channels=8, out_indices=(0, 3), norm_eval=False)),
]


@pytest.mark.parametrize(('slim_class', 'stock_class', 'options'), PAIRS)
def test_full_width_is_the_stock_backbone_bitwise(slim_class, stock_class, options):
    slim = randomised(slim_class(**options)).train()
    stock = stock_class(**options)
    stock.train()
    stock.load_state_dict(slim.state_dict(), strict=True)
    assert [(k, v.shape) for k, v in slim.state_dict().items()] == [
        (k, v.shape) for k, v in stock.state_dict().items()
    ]
    x = random_images(2, 3, 64, 64)
    outs, stock_outs = slim(x), stock(x)
    assert all(torch.equal(a, b) for a, b in zip(outs, stock_outs, strict=True))
    for network_outs in (outs, stock_outs):
        sum((out * out).mean() for out in network_outs).backward()
    for (name, p), (_, q) in zip(slim.named_parameters(), stock.named_parameters(), strict=True):
        assert p.requires_grad == q.requires_grad, name
        assert (p.grad is None and q.grad is None) or torch.equal(p.grad, q.grad), name
    for (name, a), (_, b) in zip(slim.named_buffers(), stock.named_buffers(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize('depth', [18, 50])
def test_initialises_as_the_stock_backbone(depth):
    states = []
    for network_class in (SlimmableResNet, ResNet):
        torch.manual_seed(0)
        network = network_class(depth=depth, base_channels=8)
        network.init_weights()
        states.append(network.state_dict())
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[1])


@pytest.mark.parametrize('depth', [18, 34, 50])
def test_torchvision_weights_load(tmp_path, depth):
    weights = randomised(getattr(torchvision.models, f'resnet{depth}')()).state_dict()
    torch.save(weights, tmp_path / 'resnet.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'resnet.pth'))
    slim = MODELS.build(dict(type='SlimmableResNet', depth=depth, init_cfg=init_cfg))
    slim.init_weights()
    assert all(torch.equal(v, weights[k]) for k, v in slim.state_dict().items())


def test_frozen_stages_have_no_gradient():
    network = SlimmableResNet(18, base_channels=8, frozen_stages=1)
    network.train()
    assert not network.conv1.weight.requires_grad
    assert not network.layer1[0].conv1.weight.requires_grad
    assert network.layer2[0].conv1.weight.requires_grad
    assert not network.bn1.training


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(norm_cfg=dict(type='IN')), "norm_cfg=.*'IN'.*expected type BN, SyncBN or GN"),
        (dict(conv_cfg=dict(type='Conv2d', groups=2)), "conv_cfg=.*'groups': 2.*without groups"),
        (dict(conv_cfg=dict(type='ConvAWS')), "conv_cfg=.*'ConvAWS'.*remove conv_cfg"),
        (dict(width_divisor=0), 'width_divisor=0, expected a whole number'),
        (dict(width_divisor=2.5), 'width_divisor=2.5, expected'),
    ],
)
def test_layers_that_cannot_be_sliced_are_named_by_their_config_key(options, message):
    with pytest.raises(ConfigError, match=rf'model\.backbone\.{message}'):
        SlimmableResNet(**({'depth': 50} | options))


def test_pretrained_prefix_and_wrapped_state(tmp_path):
    state = randomised(SlimmableResNet(18, base_channels=8)).state_dict()
    whole = {f'backbone.{key}': value for key, value in state.items()} | {'fc.bias': torch.ones(3)}
    torch.save(dict(state_dict=whole), tmp_path / 'w.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'w.pth'), prefix='backbone.')
    network = SlimmableResNet(18, base_channels=8, init_cfg=init_cfg)
    network.init_weights()
    assert all(torch.equal(v, state[k]) for k, v in network.state_dict().items())


@pytest.mark.parametrize('name', ['resnet', 'resnext', 'depth'])
def test_the_compiled_full_network_equals_the_eager_one(name):
    """And so does its sub-network, which compiles anew."""
    network = {
        'resnet': lambda: SlimmableResNet(18, base_channels=8),
        'resnext': lambda: SlimmableResNeXt(depth=50, base_channels=8, groups=4, base_width=4),
        'depth': lambda: SlimmableDepthResNet(14),
    }[name]()
    randomised(network).eval()
    compiled, x = torch.compile(network, backend='eager'), random_images(2, 3, 64, 64)
    with torch.no_grad():
        assert_close(compiled(x), network(x))
        for width in (0.6, 0.8):
            with at_width(network, width):
                assert_close(compiled(x), network(x))


def assert_close(left, right):
    for a, b in zip(left, right, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_tracing_which_would_fix_the_width_is_refused():
    """As mmengine's efficient_conv_bn_eval does."""
    with pytest.raises(ConfigError, match=r'SlimmableResNet cannot be traced .*efficient_conv_bn'):
        turn_on_efficient_conv_bn_eval(nn.ModuleDict({'b': SlimmableResNet(18)}), 'b')


def test_copies_are_independent():
    network = SlimmableResNet(18, base_channels=8)
    twin = copy.deepcopy(network)
    twin.conv1.width = 0.5
    assert network.conv1.width is None
