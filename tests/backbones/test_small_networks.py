"""What holds for each of the networks for small images, and what is special of some."""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.registry import MODELS
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmgradaug import at_depth, at_width, extract_subnet
from mmgradaug.backbones.pyramidnet import PyramidBlock
from mmgradaug.slimmable import SlimConv2d, active_channels, draw_depth, skippable_blocks
from mmgradaug.training.recompute import recomputing
from tests.backbones.small import NETWORKS, small
from tests.networks import random_images, randomised
from tests.oracles import assert_equal, assert_slice_equals_dense, relative_error, run, statistics


@pytest.mark.parametrize('name', NETWORKS)
def test_full_width_is_the_plain_network_bitwise(name):
    slim = small(name)
    plain = randomised(extract_subnet(slim, 1.0)).train()
    assert type(plain) is type(slim).stock_cls
    layers = [m for m in plain.modules() if isinstance(m, (nn.Conv2d, nn.BatchNorm2d))]
    assert {type(layer) for layer in layers} == {nn.Conv2d, nn.BatchNorm2d}
    x = random_images(2, 3, 16, 16)
    (outs, grads), (plain_outs, plain_grads) = run(slim, x), run(plain, x)
    assert len(outs) == 1 and torch.equal(outs[0], plain_outs[0])
    assert_equal(grads, plain_grads)
    assert_equal(dict(slim.named_buffers()), dict(plain.named_buffers()))


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('name', NETWORKS)
def test_slices_equal_dense_networks(name, dtype):
    network, x = small(name, dtype), random_images(2, 3, 11, 14, dtype=dtype)  # odd, or half of it
    for width in (0.25, 0.5, 0.777, 0.9, 1.0):
        assert_slice_equals_dense(network, width, x)


@pytest.mark.parametrize('name', NETWORKS)
def test_evaluated_slices_equal_dense_networks_and_a_divisor_rounds(name):
    network, x = small(name, width_divisor=8).eval(), random_images(2, 3, 16, 16)
    dense = extract_subnet(network, 0.7)
    with at_width(network, 0.7):
        (out,) = network(x)
    (dense_out,) = dense(x)
    assert dense.out_channels == dense_out.size(1) < network.out_channels == out.size(1)
    assert relative_error(out[:, : dense_out.size(1)], dense_out) <= 1e-6
    for before, after in zip(network.modules(), dense.modules(), strict=True):
        if isinstance(before, SlimConv2d):
            assert after.out_channels == active_channels(before.out_channels, 0.7, 8)


PASSES = st.lists(
    st.one_of(
        st.none(),  # a full pass
        st.sampled_from([0.3, 0.5, 0.77, 1.0]),  # a sub-network of a width
        st.integers(0, 9),  # a sub-network of random depth
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize('name', ['wide', 'pyramid', 'depth'])
@settings(max_examples=6, deadline=None)
@given(passes=PASSES)
def test_statistics_are_those_of_full_passes_alone(name, passes):
    network = small(name)
    alone = copy.deepcopy(network)
    for index, subnet in enumerate(passes):
        x = random_images(2, 3, 8, 8, seed=index)
        if subnet is None:
            network(x), alone(x)
        elif isinstance(subnet, float):
            with at_width(network, subnet):
                network(x)[0].sum().backward()
        elif skippable_blocks(network):
            with at_depth(network, draw_depth(network, subnet)):
                network(x)[0].sum().backward()
    assert_equal(statistics(network), statistics(alone))


@pytest.mark.parametrize('name', NETWORKS)
def test_recomputed_activations_give_the_same_gradients(name):
    network, x = small(name), random_images(2, 3, 8, 8)
    _, expected = run(network, x, 0.6)
    with recomputing(network):
        assert sum('forward' in vars(m) for m in network.modules()) == (3 if name == 'wide' else 6)
        _, found = run(network, x, 0.6)
    assert_equal(found, expected)


def test_dropout_acts_in_training_alone():
    network, plain, x = small('wide', dropout=0.5), small('wide'), random_images(2, 3, 8, 8)
    torch.manual_seed(0)
    assert not torch.equal(network(x)[0], plain(x)[0])
    plain.load_state_dict(network.state_dict())
    assert torch.equal(network.eval()(x)[0], plain.eval()(x)[0])


@pytest.mark.parametrize('name', ['pyramid', 'pyramid_basic'])
def test_shortcuts_of_pyramids_are_the_blocks_input_and_silent_channels(name):
    """At a width too: a block whose residual is silent passes on the input's own channels."""
    network = small(name)
    blocks = [m for m in network.modules() if isinstance(m, PyramidBlock)]
    seen = []

    def check(block, args, out):
        (before,) = args
        expected = F.avg_pool2d(before, 2, ceil_mode=True) if block.stride == 2 else before
        assert torch.equal(out[:, : before.size(1)], expected)
        assert out.size(1) > before.size(1) and out[:, before.size(1) :].abs().sum() == 0
        last = getattr(block, f'conv{block.layers}')
        assert out.size(1) == active_channels(last.out_channels, 0.7)
        seen.append(block)

    for block in blocks:
        last = getattr(block, f'bn{block.layers + 1}')
        torch.nn.init.zeros_(last.weight), torch.nn.init.zeros_(last.bias)
        block.register_forward_hook(check)
    with at_width(network, 0.7):
        network(random_images(2, 3, 10, 10))
    assert seen == blocks and len(blocks) == 6


def test_bottlenecks_and_stem_of_pyramids_round_as_a_quarter():
    dense = extract_subnet(small('pyramid'), 0.9)
    assert dense.conv1.out_channels == 14  # int(0.25 * round(57.6))
    block = dense.layer1[0]  # 20 channels in the middle, 80 in the end
    assert [c.out_channels for c in (block.conv1, block.conv2, block.conv3)] == [18, 18, 72]
    basic = extract_subnet(small('pyramid_basic'), 0.9)
    assert basic.conv1.out_channels == 14  # round(14.4)


def test_subsampling_takes_the_first_pixel():
    x = torch.arange(9.0).reshape(1, 1, 3, 3).expand(1, 16, 3, 3)
    found = small('depth').layer2[0].shortcut(x)[0].tolist()
    assert found == 16 * [[[0, 2], [6, 8]]] + 16 * [[[0, 0], [0, 0]]]


# Network, options, classes, pixels, parameters, multiply-adds; and what was published of them.
PUBLISHED = [
    ('ResNet', dict(depth=50), 1000, 224, 25_557_032, 4_089_184_256),  # 25.6 M, 4.1 G
    ('ResNetV1d', dict(depth=50), 1000, 224, 25_576_264, 4_328_824_832),  # 25.6 M, 4.3 G
    ('WideResNet', dict(depth=28, widen_factor=10), 100, 32, 36_536_884, 5_243_386_368),  # 36.5 M
    ('WideResNet', dict(depth=28, widen_factor=2), 10, 32, 1_467_610, 214_353_152),  # 1.5 M
    ('WideResNet', dict(depth=40, widen_factor=4), 10, 32, 8_949_210, 1_298_582_016),  # 8.9 M
    ('WideResNet', dict(depth=40, widen_factor=1), 10, 32, 563_930, 83_280_512),  # 0.6 M
    ('PyramidNet', dict(depth=200, alpha=240), 100, 32, 26_844_952, 4_519_698_176),  # 26.8 M
    ('DepthResNet', dict(depth=110), 10, 32, 1_727_962, 252_887_680),  # 1.7 M
    ('DepthResNet', dict(depth=56), 10, 32, 853_018, 125_485_696),  # 0.85 M
]


@pytest.mark.parametrize('row', PUBLISHED, ids=str)
def test_parameters_and_flops_are_the_published_ones(row):
    name, options, classes, size, parameters, macs = row
    with torch.device('meta'):
        network = MODELS.build(dict(type=f'Slimmable{name}', **options))
        fc = nn.Linear(network.out_channels, classes)
        images = torch.empty(1, 3, size, size)
    network.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        F.linear(network(images)[-1].mean((2, 3)), fc.weight, fc.bias)
    found = sum(p.numel() for module in (network, fc) for p in module.parameters())
    assert (found, counter.get_total_flops()) == (parameters, 2 * macs)


@pytest.mark.parametrize('name', NETWORKS)
def test_initialises_as_the_papers(name):
    torch.manual_seed(0)
    network = NETWORKS[name]()
    network.init_weights()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            expected = (2 / (module.kernel_size[0] ** 2 * module.out_channels)) ** 0.5
            spread = 4 / module.weight.numel() ** 0.5
            assert abs(module.weight.std().item() / expected - 1) < spread
        elif isinstance(module, nn.BatchNorm2d):
            assert module.weight.eq(1).all() and module.bias.eq(0).all()


@pytest.mark.parametrize(('options', 'message'), [
    (dict(type='WideResNet', depth=27), r'depth=27, expected 6n\+4'),
    (dict(type='WideResNet', depth=4), r'depth=4, expected'),
    (dict(type='PyramidNet', depth=28), r'depth=28, expected 9n\+2'),
    (dict(type='PyramidNet', depth=27, bottleneck=False), r'expected 6n\+2'),
    (dict(type='DepthResNet', depth=55), r'depth=55, expected 6n\+2'),
    (dict(type='SlimmablePyramidNet', norm_cfg=dict(type='GN')), "norm_cfg={'type'.*sliced"),
])  # fmt: skip
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message), torch.device('meta'):
        MODELS.build(options)
