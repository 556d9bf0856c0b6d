"""mmdet's ResNets with slimmable layers: the stock network at full width, a dense one at any."""

import copy

import pytest
import torch
from mmcv.cnn.bricks.conv_ws import ConvWS2d
from mmdet.models.backbones import ResNeXt
from mmengine.model.efficient_conv_bn_eval import turn_on_efficient_conv_bn_eval
from mmengine.registry import MODELS
from torch import nn

from mmgradaug import SlimmableResNet, SlimmableResNeXt, at_width, extract_subnet
from mmgradaug.errors import ConfigError
from mmgradaug.publishing.narrow import narrow_backbone
from tests.backbones.small import small
from tests.networks import random_images, randomised
from tests.oracles import assert_equal, assert_slice_equals_dense, relative_error, run

LAST_TWO = (False, False, True, True)
GN = dict(norm_cfg=dict(type='GN', num_groups=8, requires_grad=True))
WS = dict(conv_cfg=dict(type='ConvWS'))


def dcn(kind='DCN', groups=1):
    return dict(dcn=dict(type=kind, deform_groups=groups), stage_with_dcn=LAST_TWO)


def plugin(position='after_conv3', **cfg):
    return dict(plugins=[dict(cfg=cfg, stages=LAST_TWO, position=position)])


def attention(kind):
    options = dict(type='GeneralizedAttention', num_heads=4, kv_stride=2)
    return plugin('after_conv2', attention_type=kind, **options)


CONTEXT = plugin(type='ContextBlock', ratio=1 / 4)
FUSIONS = dict(pooling_type='avg', fusion_types=('channel_add', 'channel_mul'))
BOTH_FUSIONS = plugin(type='ContextBlock', ratio=1 / 4, **FUSIONS)
R18 = dict(type='ResNet', depth=18, base_channels=8, norm_eval=False)
R50 = R18 | dict(depth=50)
V1D = R50 | dict(type='ResNetV1d')
NEXT = R50 | dict(type='ResNeXt', base_channels=16, groups=8, base_width=2)
WIDE = dict(base_channels=16)
DILATED = dict(strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2), out_indices=(1, 3))
STOCK = {  # configs of mmdet's networks
    'r18': R18,
    'r18 first and last map': R18 | dict(out_indices=(0, 3)),
    'r18 caffe': R18 | dict(style='caffe'),
    'r18 GN + WS': R18 | WIDE | GN | WS,
    'r50': R50,
    'r50 frozen stages': R50 | dict(frozen_stages=2),
    'r50 GN': R50 | WIDE | GN,
    'r50 WS': R50 | WIDE | WS,
    'r50 GN + WS': R50 | WIDE | GN | WS,
    'r50 DCN': R50 | dcn() | dict(frozen_stages=3),
    'r50 DCNv2': R50 | dcn('DCNv2') | dict(style='caffe'),
    'r50 DCN in groups': R50 | dcn(groups=4) | dict(style='caffe'),
    'r50 DCNv2 in groups': R50 | dcn('DCNv2', 4),
    'r50 context': R50 | CONTEXT,
    'r50 non-local': R50 | plugin('after_conv2', type='NonLocal2d'),
    'r50 non-local product': R50 | plugin(type='NonLocal2d', mode='dot_product'),
    'r50 both fusions': R50 | BOTH_FUSIONS,
    'r50 attention': R50 | attention('1111'),
    'r50 keys only': R50 | attention('0010'),
    'r50v1d': V1D,
    'r50v1d GN + WS': V1D | WIDE | GN | WS,
    'next': NEXT,
    'next checkpointed': NEXT | dict(frozen_stages=2, with_cp=True),
    'next DCN': NEXT | dcn(),
    'next DCNv2': NEXT | dcn('DCNv2'),
    'next GN + WS': NEXT | GN | WS,
    'next context': NEXT | CONTEXT,
    'next in one group': NEXT | dict(groups=1),
    'next of groups of one': NEXT | dict(groups=64, base_width=1),
    'next deep stem': NEXT | dict(style='caffe', deep_stem=True),
}
for _name, _options in {
    'checkpointed': dict(with_cp=True),
    'deep stem': dict(deep_stem=True, avg_down=True),
    'SyncBN': dict(norm_cfg=dict(type='SyncBN')),
    'stem of 32': dict(stem_channels=32),
    'no projection': dict(stem_channels=16, base_channels=16),
    'dilated': DILATED,
    '5 channels': dict(in_channels=5),
}.items():
    STOCK |= {f'r18 {_name}': R18 | _options, f'r50 {_name}': R50 | _options}
FULL = {f'r{depth}': R18 | dict(depth=depth) for depth in (34, 101, 152)} | {
    f'{name} frozen norms': STOCK[name] | dict(norm_eval=True) for name in ('r18', 'r50')
}
FULL |= {
    'r18 frozen norms and stages': R18 | dict(frozen_stages=3, norm_eval=True),
    'r50v1d frozen stem': V1D | dict(frozen_stages=0),
    'r50 DCN of no stage': R50 | dict(dcn=dict(type='DCN')),
    'next DCN frozen norms and stages': NEXT | dcn() | dict(frozen_stages=2, norm_eval=True),
}
ROUNDED = {
    'r18 by 8': R18 | dict(base_channels=32, width_divisor=8),
    'r50 by 8': R50 | dict(base_channels=32, width_divisor=8),
    'r50 DCN by 4': R50 | dcn() | dict(width_divisor=4),
    'r50 DCNv2 in groups by 4': R50 | dcn('DCNv2', 4) | dict(width_divisor=4),
    'next by 8': NEXT | dict(width_divisor=8),
    'next by 16': NEXT | dict(width_divisor=16),
}


def slimmable(options):
    """The slimmable network of a stock config, with random weights, in training mode."""
    options = copy.deepcopy(options)  # mmdet changes dcn
    return randomised(MODELS.build(options | dict(type=f'Slimmable{options["type"]}'))).train()


def images(options, dtype=torch.float32):
    side = 96 if 'dcn' in options else 64  # at stride 32 these need 3 x 3 cells
    return random_images(2, options.get('in_channels', 3), side, side, dtype=dtype)


@pytest.mark.parametrize('options', (STOCK | FULL).values(), ids=STOCK | FULL)
def test_full_width_is_the_stock_backbone_bitwise(options):
    slim, stock = slimmable(options), MODELS.build(copy.deepcopy(options))
    for network in (slim, stock):
        network.eval()
        network.train()
    shapes = [[(k, v.shape) for k, v in net.state_dict().items()] for net in (slim, stock)]
    assert shapes[0] == shapes[1]
    stock.load_state_dict(slim.state_dict(), strict=True)
    x = images(options)
    (outs, grads), (expected, expected_grads) = run(slim, x), run(stock, x)
    assert all(torch.equal(a, b) for a, b in zip(outs, expected, strict=True))
    frozen = [k for k, p in stock.named_parameters() if not p.requires_grad]
    assert frozen == [k for k, grad in grads.items() if grad is None]
    assert bool(frozen) == (options.get('frozen_stages', -1) >= 0)
    for name in frozen:
        assert grads.pop(name) is expected_grads.pop(name) is None
    assert_equal(grads, expected_grads)
    assert_equal(dict(slim.named_buffers()), dict(stock.named_buffers()))


@pytest.mark.parametrize('options', (STOCK | ROUNDED).values(), ids=STOCK | ROUNDED)
def test_a_slice_is_the_dense_network(options):
    """At depths 18 to 152 and other widths besides in tests/slimmable/test_extract.py."""
    network = slimmable(options | dict(frozen_stages=-1)).double()
    for width in (0.3, 0.7, 1.0):
        assert_slice_equals_dense(network, width, images(options, torch.float64))
    for name, parameter in network.named_parameters():
        assert 'conv_offset' not in name or parameter.grad.abs().sum() > 0


@pytest.mark.parametrize('name', [name for name in STOCK if 'DCN' not in name])
def test_initialises_as_the_stock_backbone(name):
    states = []
    for kind in ('Slimmable', ''):
        torch.manual_seed(0)
        network = MODELS.build(STOCK[name] | dict(type=kind + STOCK[name]['type']))
        network.init_weights()
        states.append(network.state_dict())
    assert_equal(*states)


def test_groups_of_a_norm_keep_their_size():
    dense = extract_subnet(slimmable(STOCK['r50 GN']), 0.7)  # 5.6 of 8 groups
    norms = [m for m in dense.modules() if isinstance(m, nn.GroupNorm)]
    assert {type(norm) for norm in norms} == {nn.GroupNorm}
    assert {norm.num_groups for norm in norms} == {6}
    assert sorted({norm.num_channels for norm in norms}) == [12, 24, 48, 96, 192, 384]
    wide = extract_subnet(slimmable(STOCK['r50 GN'] | dict(width_divisor=16)), 0.7)
    assert wide.layer1[0].gn3.num_channels == 48


def test_groups_of_a_convolution_keep_their_size():
    with torch.device('meta'):
        dense = extract_subnet(SlimmableResNeXt(depth=50, groups=32, base_width=4), 0.9)
    assert type(dense) is ResNeXt
    for stage, size in enumerate((4, 8, 16, 32), 1):
        for block in dense.get_submodule(f'layer{stage}'):
            conv = block.conv2
            assert type(conv) is nn.Conv2d
            assert (conv.groups, conv.weight.size(1), conv.out_channels) == (29, size, 29 * size)
    assert (dense.conv1.out_channels, dense.layer1[0].conv3.out_channels) == (57, 230)


def test_own_channels_of_a_plugin_stay():
    block = extract_subnet(slimmable(STOCK['r50 context']), 0.7).layer4[0].context_block
    assert type(block).__name__ == 'ContextBlock'
    add = block.channel_add_conv
    assert (add[0].in_channels, add[0].out_channels, add[3].out_channels) == (179, 64, 179)


NO_SLICE = 'cannot be sliced'


@pytest.mark.parametrize(('options', 'message'), [
    (dict(conv_cfg=dict(type='Conv2d', groups=2)), "conv_cfg=.*'groups': 2.*without groups"),
    (dict(conv_cfg=dict(type='ConvAWS')), "conv_cfg=.*'ConvAWS'.*remove conv_cfg"),
    (plugin(type='NonLocal2d', mode='gaussian'), rf'plugins\.0=.*{NO_SLICE}'),
    (plugin(type='NonLocal2d', norm_cfg=dict(type='BN')), rf'plugins\.0=.*{NO_SLICE}'),
    (dcn() | dict(dcn=dict(type='DCN', groups=2)), f'dcn=.*{NO_SLICE}'),
    (dcn() | dict(dcn=dict(type='DCN', fallback_on_stride=True)), f'dcn=.*{NO_SLICE}'),
    (dcn('Conv2d'), f'dcn=.*{NO_SLICE}'),
    (dcn() | dict(depth=18), f'dcn=.*{NO_SLICE}'),
    (NEXT | dcn(groups=2), f'dcn=.*{NO_SLICE}'),
], ids=str)  # fmt: skip
def test_layers_that_cannot_be_sliced_are_named_by_their_config_key(options, message):
    with pytest.raises(ConfigError, match=rf'model\.backbone\.{message}'):
        slimmable(R50 | options)


def assert_narrow_stock_network_is_the_slice(network, stock, width, x):
    """A network of the narrow config has the sub-network's outputs; returns that config."""
    made, narrow, channels = narrow_backbone(network, stock, width)
    rebuilt = MODELS.build(copy.deepcopy(made)).double()  # mmdet changes its dcn
    rebuilt.load_state_dict(narrow.state_dict())
    rebuilt.eval()
    with torch.no_grad():
        found = rebuilt(x)
        with at_width(network, width):
            expected = network(x)
    for a, b, c in zip(found, expected, channels, strict=True):
        assert (c.full, c.narrow) == (b.size(1), a.size(1))
        assert relative_error(a[:, : c.active], b[:, : c.active]) < 1e-12
        assert not a[:, c.active :].any() and not b[:, c.active :].any()
    return made


@pytest.mark.parametrize('width', [0.3, 0.77, 0.9, 1.0])
@pytest.mark.parametrize(('options', 'ours'), [
    (R18, {}),
    (STOCK['r18 deep stem'], {}),
    (STOCK['r18 stem of 32'], {}),
    (STOCK['r18 5 channels'], {}),
    (R18, dict(regulariser=dict(type='StochasticDepth'))),
    (R50, {}),
    (R50 | dict(deep_stem=True), {}),
    (STOCK['r50 stem of 32'], {}),
    (R50 | dict(base_channels=32), dict(width_divisor=8)),
    (R50 | dict(out_indices=(1, 3)), {}),
    (R50, dict(regulariser=dict(type='DropBlock', drop=(0, 0.1, 0.1, 0.1)))),
    (V1D, {}),
    (NEXT, {}),
    (NEXT | dcn('DCNv2'), {}),
    (NEXT, dict(width_divisor=4)),
    (NEXT | dict(groups=1), {}),
    (NEXT | dict(groups=2, base_width=32), {}),  # of which one group is left at 0.3
    (R50 | dcn('DCNv2'), {}),
    (R50 | dcn('DCNv2', 4), {}),
    (R50 | CONTEXT, {}),
], ids=str)  # fmt: skip
def test_the_narrow_stock_network_is_the_sub_network(options, ours, width):
    network, x = slimmable(options | ours).double().eval(), images(options, torch.float64)
    assert_narrow_stock_network_is_the_slice(network, options, width, x)


def test_a_narrow_stock_network_with_group_norm():
    options = STOCK['r50 GN + WS']
    network, x = slimmable(options).double().eval(), images(options, torch.float64)
    made = assert_narrow_stock_network_is_the_slice(network, options, 0.75, x)
    assert (made['base_channels'], made['norm_cfg']['num_groups']) == (12, 6)
    assert isinstance(MODELS.build(made).conv1, ConvWS2d)


def test_what_no_narrow_stock_network_is():
    network = slimmable(STOCK['r50 WS']).double().eval()
    with pytest.raises(ValueError, match=r'at width 0\.7 silent channels change a statistic'):
        narrow_backbone(network, STOCK['r50 WS'], 0.7)


@pytest.mark.parametrize('options', [
    R50 | dict(depth=20),
    NEXT | dict(depth=18),
    R50 | dict(num_stages=0),
    R50 | dcn() | dict(stage_with_dcn=(True,)),
    R50 | plugin('after_conv4', type='ContextBlock', ratio=1 / 4),
    R50 | dict(plugins=CONTEXT['plugins'] * 2),
    R18 | CONTEXT,
    dict(type='ResNet'),
], ids=str)  # fmt: skip
def test_refuses_what_the_stock_network_refuses_in_the_same_way(options):
    """So a program that catches mmdet's error catches this one."""
    with pytest.raises(Exception) as stock:  # noqa: PT011
        MODELS.build(options)
    with pytest.raises(Exception) as ours:  # noqa: PT011
        slimmable(options)
    assert type(ours.value) is type(stock.value)
    assert str(ours.value).replace('Slimmable', '') == str(stock.value)


@pytest.mark.parametrize(('options', 'width', 'made', 'size'), [
    (dict(groups=32), 0.9, (58, 29), 4),
    (dict(groups=32), 0.8, (52, 26), 4),
    (dict(groups=32), 0.5, (32, 16), 4),
    # 49 * (4 / 49) is a little under 4, and mmdet rounds it down: so 50 stay where 49 would do.
    (dict(groups=8, base_channels=49), 0.97, (49, 8), 3),
    (dict(groups=8, base_channels=50), 0.97, (50, 8), 4),
])  # fmt: skip
def test_resnext_becomes_a_barely_wider_stock_network(options, width, made, size):
    options = dict(depth=50, base_width=4) | options
    parent = SlimmableResNeXt(**options)
    found, narrow, _ = narrow_backbone(parent, dict(type='ResNeXt', **options), width)
    assert (found['base_channels'], found['groups']) == made
    assert narrow.layer1[0].conv2.weight.size(1) == parent.layer1[0].conv2.weight.size(1) == size
    assert narrow.layer4[0].conv2.weight.size(1) == parent.layer4[0].conv2.weight.size(1)


def test_tracing_which_would_fix_the_width_is_refused():
    """As mmengine's efficient_conv_bn_eval does."""
    with pytest.raises(ConfigError, match=r'SlimmableResNet cannot be traced .*efficient_conv_bn'):
        turn_on_efficient_conv_bn_eval(nn.ModuleDict({'b': SlimmableResNet(18)}), 'b')


@pytest.mark.parametrize('name', ['r18', 'next', 'depth'])
def test_the_compiled_full_network_equals_the_eager_one(name):
    """And so does its sub-network, which compiles anew."""
    network = (small('depth') if name == 'depth' else slimmable(STOCK[name])).eval()
    compiled, x = torch.compile(network, backend='eager'), random_images(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), network(x), rtol=1e-5, atol=1e-5)
        for width in (0.6, 0.8):
            with at_width(network, width):
                torch.testing.assert_close(compiled(x), network(x), rtol=1e-5, atol=1e-5)
