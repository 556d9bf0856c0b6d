import torch

from mmgradaug import WideResNet
from tests.backbones.small import small
from tests.networks import random_images


def test_stages_have_the_widened_channels_and_project_where_these_change():
    network = WideResNet(16, 2)
    shapes = [
        (block.conv1.out_channels, block.conv1.stride[0], block.projection is not None)
        for stage in (network.layer1, network.layer2, network.layer3)
        for block in stage
    ]
    assert shapes == [
        (32, 1, True),
        (32, 1, False),
        (64, 2, True),
        (64, 1, False),
        (128, 2, True),
        (128, 1, False),
    ]
    assert WideResNet(10, 1).layer1[0].projection is None


def test_dropout_acts_in_training_alone():
    network, plain, x = small('wide', dropout=0.5), small('wide'), random_images(2, 3, 8, 8)
    torch.manual_seed(0)
    assert not torch.equal(network(x)[0], plain(x)[0])
    plain.load_state_dict(network.state_dict())
    assert torch.equal(network.eval()(x)[0], plain.eval()(x)[0])
