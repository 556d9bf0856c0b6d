import copy

import pytest
import torch
import torchvision
from mmdet.models.backbones import ResNet, ResNetV1d
from mmengine.registry import MODELS

from mmgradaug import SlimmableResNet, SlimmableResNetV1d
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
        (dict(norm_cfg=dict(type='IN')), "norm_cfg=.*'IN'.*type='BN'"),
        (dict(conv_cfg=dict(type='Conv2d', groups=2)), "conv_cfg=.*'groups': 2.*SlimmableResNeXt"),
        (
            dict(groups=32, base_width=4),
            r"groups=32 belongs to ResNeXt, use type='SlimmableResNeXt'",
        ),
        (dict(conv_cfg=dict(type='ConvAWS')), "conv_cfg=.*'ConvAWS'.*remove conv_cfg"),
        (dict(width_divisor=0), 'width_divisor must be'),
        (dict(width_divisor=2.5), 'width_divisor must be'),
        (dict(depth=20), r'depth=20, expected one of \[18, 34, 50, 101, 152\]'),
        (dict(colour=3), 'colour=3: SlimmableResNet has no such option, expected some of depth'),
        (dict(out_indices=(0, 4)), r'out_indices=\(0, 4\).*assert max\(out_indices\)'),
        (dict(style='caffe2'), "style='caffe2'.*does not take"),
    ],
)
def test_refused_options_are_named_by_their_config_key(options, message):
    with pytest.raises(ValueError, match=rf'model\.backbone\.[^:]*{message}'):
        SlimmableResNet(**({'depth': 50} | options))


def pretrained(tmp_path, state, **init):
    torch.save(state, tmp_path / 'w.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'w.pth'), **init)
    return SlimmableResNet(18, base_channels=8, init_cfg=init_cfg)


def test_missing_pretrained_file_is_an_error(tmp_path):
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'none.pth'))
    with pytest.raises(FileNotFoundError, match=r'none\.pth.*init_cfg\.checkpoint'):
        SlimmableResNet(18, init_cfg=init_cfg).init_weights()


def test_pretrained_keys_that_do_not_match_are_an_error(tmp_path):
    state = SlimmableResNet(18, base_channels=8).state_dict()
    odd = {f'features.{key}': value for key, value in state.items()}
    with pytest.raises(ValueError, match=r'lacks 100 of the 100 entries.*features'):
        pretrained(tmp_path, odd).init_weights()
    whole = {f'backbone.{key}': value for key, value in state.items()}
    with pytest.raises(ValueError, match="prefix='backbone"):
        pretrained(tmp_path, whole).init_weights()


def test_pretrained_prefix_and_wrapped_state(tmp_path):
    state = randomised(SlimmableResNet(18, base_channels=8)).state_dict()
    whole = {f'backbone.{key}': value for key, value in state.items()} | {'fc.bias': torch.ones(3)}
    network = pretrained(tmp_path, dict(state_dict=whole), prefix='backbone.')
    network.init_weights()
    assert all(torch.equal(v, state[k]) for k, v in network.state_dict().items())


def test_pretrained_shapes_that_do_not_fit_are_an_error(tmp_path):
    state = SlimmableResNet(18, base_channels=16).state_dict()
    with pytest.raises(ValueError, match=r'shape \(16, 3, 7, 7\), expected \(8, 3, 7, 7\)'):
        pretrained(tmp_path, state).init_weights()


def test_weights_that_cannot_be_fetched_are_named():
    init_cfg = dict(type='Pretrained', checkpoint='http://nowhere.invalid/w.pth')
    with pytest.raises(ValueError, match=r'http://nowhere\.invalid/w\.pth cannot be fetched .*set'):
        SlimmableResNet(18, base_channels=8, init_cfg=init_cfg).init_weights()


def test_weights_of_a_deeper_network_are_an_error(tmp_path):
    state = SlimmableResNet(34, base_channels=8).state_dict()
    with pytest.raises(ValueError, match=r'w\.pth has 8 blocks more .*layer1\.2.* a deeper'):
        pretrained(tmp_path, state).init_weights()
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'w.pth'))
    options = dict(base_channels=8, num_stages=2, strides=(1, 2), dilations=(1, 1))
    SlimmableResNet(34, out_indices=(1,), init_cfg=init_cfg, **options).init_weights()


class Payload:
    def __reduce__(self):
        return (print, ('a checkpoint ran code',))


def test_pretrained_file_that_would_run_code_is_refused(tmp_path, capsys):
    with pytest.raises(ValueError, match=r'w\.pth holds builtins\.print'):
        pretrained(tmp_path, {'state_dict': {}, 'evil': Payload()}).init_weights()
    assert 'ran code' not in capsys.readouterr().out


def test_copies_are_independent():
    network = SlimmableResNet(18, base_channels=8)
    twin = copy.deepcopy(network)
    twin.conv1.width = 0.5
    assert network.conv1.width is None
