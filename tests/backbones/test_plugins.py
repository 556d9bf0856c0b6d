"""Plugins in the slimmable backbone."""

import pytest
import torch
from mmdet.models.backbones import ResNet

from mmgradaug import SlimmableResNet, extract_subnet
from mmgradaug.errors import ConfigError
from mmgradaug.publishing.narrow import narrow_backbone
from tests.networks import random_images, small_resnet
from tests.oracles import assert_slice_equals_dense

LAST_TWO = (False, False, True, True)


def plugins(position='after_conv3', **cfg):
    return dict(plugins=[dict(cfg=cfg, stages=LAST_TWO, position=position)])


CONTEXT = plugins(type='ContextBlock', ratio=1 / 4)
BOTH_FUSIONS = plugins(
    type='ContextBlock',
    ratio=1 / 4,
    pooling_type='avg',
    fusion_types=('channel_add', 'channel_mul'),
)
ATTENTION = plugins(
    'after_conv2', type='GeneralizedAttention', num_heads=4, attention_type='1111', kv_stride=2
)
KEYS_ONLY = plugins(
    'after_conv2', type='GeneralizedAttention', num_heads=4, attention_type='0010', kv_stride=2
)
ALL = pytest.mark.parametrize(
    'options',
    [CONTEXT, BOTH_FUSIONS, ATTENTION, KEYS_ONLY],
    ids=['context', 'both fusions', 'attention', 'keys only'],
)


@ALL
def test_full_width_is_the_stock_backbone_bitwise(options):
    slim = small_resnet(50, **options)
    stock = ResNet(50, base_channels=8, norm_eval=False, **options)
    stock.train()
    stock.load_state_dict(slim.state_dict(), strict=True)
    outs = [network(random_images(2, 3, 64, 64)) for network in (slim, stock)]
    assert all(torch.equal(a, b) for a, b in zip(*outs, strict=True))


@ALL
def test_slice_is_the_dense_network(options):
    network = small_resnet(50, **options).double()
    assert_slice_equals_dense(network, 0.7, random_images(2, 3, 64, 64, dtype=torch.float64))


def test_own_channels_stay():
    network = small_resnet(50, **CONTEXT)
    block = extract_subnet(network, 0.7).layer4[0].context_block
    assert type(block).__name__ == 'ContextBlock'
    add = block.channel_add_conv
    assert (add[0].in_channels, add[0].out_channels, add[3].out_channels) == (179, 64, 179)


def test_other_plugins_are_named():
    with pytest.raises(ConfigError, match=r'model\.backbone\.plugins\.0=.*cannot be sliced'):
        SlimmableResNet(50, plugins=[dict(cfg=dict(type='NonLocal2d'))])


def test_a_narrow_stock_network_has_no_plugins():
    stock = dict(type='ResNet', depth=50, base_channels=8, **CONTEXT)
    with pytest.raises(ValueError, match=r'plugins=.* leave out --width'):
        narrow_backbone(small_resnet(50, **CONTEXT), stock, 0.7)
