"""The authors' released networks, of which ``released_keys.json`` has the names and shapes.

What a network computes is written below a second time, in terms of these names.
"""

import itertools
import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import torchvision
from mmengine.registry import MODELS

from mmgradaug.publishing.key_maps import load_external
from tests.networks import random_images
from tools.publish import main

KEYS = json.loads((Path(__file__).parent / 'released_keys.json').read_text())


def random_state(shapes):
    """Random weights in double precision, with a scale that stays through 200 layers."""
    options = dict(generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    state = {key: torch.randn(shape, **options) for key, shape in shapes.items()}
    for key, value in state.items():
        if value.dim() > 1:
            value *= (2 / value[0].numel()) ** 0.5
        elif 'running_var' in key:
            state[key] = value.abs() + 3
        else:
            state[key] = 0.2 * value + ('weight' in key)
    return state | {key: torch.tensor(7) for key in state if 'num_batches' in key}


class Layers:
    """Convolutions and BatchNorms of a state dict, by their names."""

    def __init__(self, state):
        self.state = state

    def has(self, name):
        return f'{name}.weight' in self.state

    def count(self, name):
        """How many of ``name.format(0)``, ``name.format(1)``, ... there are."""
        return next(i for i in itertools.count() if not self.has(name.format(i)))

    def conv(self, x, name, stride=1):
        weight = self.state[f'{name}.weight']
        return F.conv2d(x, weight, stride=stride, padding=weight.size(-1) // 2)

    def bn(self, x, name):
        names = ('running_mean', 'running_var', 'weight', 'bias')
        return F.batch_norm(x, *(self.state[f'{name}.{part}'] for part in names))

    def fc(self, x, name):
        return F.linear(x.mean((2, 3)), self.state[f'{name}.weight'], self.state[f'{name}.bias'])


def resnet(net, x):
    """torchvision's, which has the same layers in the same order under other names."""
    network = torchvision.models.resnet50().double()
    network.load_state_dict(dict(zip(network.state_dict(), net.state.values(), strict=True)))
    return network.eval()(x)


def wide_resnet(net, x):
    x = net.conv(x, 'conv1')
    for stage in (1, 2, 3):
        for i in range(net.count(f'block{stage}.layer.{{}}.conv1')):
            block, stride = f'block{stage}.layer.{i}', 2 if stage > 1 and i == 0 else 1
            first = F.relu(net.bn(x, f'{block}.bn1'))
            out = F.relu(net.bn(net.conv(first, f'{block}.conv1', stride), f'{block}.bn2'))
            if net.has(f'{block}.convShortcut'):
                x = net.conv(first, f'{block}.convShortcut', stride)
            x = net.conv(out, f'{block}.conv2') + x
    return net.fc(F.relu(net.bn(x, 'bn1')), 'fc')


def pyramid_net(net, x):
    x = net.bn(net.conv(x, 'conv1'), 'bn1')
    for stage in (1, 2, 3):
        for i in range(net.count(f'layer{stage}.{{}}.conv1')):
            block, stride = f'layer{stage}.{i}', 2 if stage > 1 and i == 0 else 1
            out = net.conv(net.bn(x, f'{block}.bn1'), f'{block}.conv1')
            out = net.conv(F.relu(net.bn(out, f'{block}.bn2')), f'{block}.conv2', stride)
            out = net.conv(F.relu(net.bn(out, f'{block}.bn3')), f'{block}.conv3')
            out = net.bn(out, f'{block}.bn4')
            x = F.avg_pool2d(x, 2) if stride == 2 else x
            out[:, : x.size(1)] += x
            x = out
    return net.fc(F.relu(net.bn(x, 'bn_final')), 'fc')


def depth_resnet(net, x):
    """In evaluation, a residual branch weighs its survival probability, from 1 down to 0.8."""
    x = F.relu(net.bn(net.conv(x, 'conv1'), 'bn1'))
    each = net.count('layer1.{}.conv1')
    for index in range(3 * each):
        stage, i = 1 + index // each, index % each
        block, stride = f'layer{stage}.{i}', 2 if stage > 1 and i == 0 else 1
        out = F.relu(net.bn(net.conv(x, f'{block}.conv1', stride), f'{block}.bn1'))
        out = net.bn(net.conv(out, f'{block}.conv2'), f'{block}.bn2')
        if net.has(f'{block}.downsample.0'):
            x = net.bn(net.conv(x, f'{block}.downsample.0', stride), f'{block}.downsample.1')
        x = F.relu((1 - 0.2 * index / (3 * each - 1)) * out + x)
    return net.fc(x, 'fc')


@pytest.mark.parametrize(('name', 'forward', 'options'), [
    ('ResNet-50', resnet, dict(type='ResNet', depth=50)),
    ('WRN-28-10', wide_resnet, dict(type='WideResNet', depth=28, widen_factor=10)),
    ('PyramidNet-200', pyramid_net, dict(type='PyramidNet', depth=200, alpha=240)),
    ('ResNet-110', depth_resnet, dict(type='DepthResNet', depth=110, shortcut='projection')),
])  # fmt: skip
def test_released_networks(tmp_path, name, forward, options):
    theirs = random_state(KEYS[name])
    backbone, _ = load_external(theirs, 'gradaug', Path(f'{name}.pth'))
    assert options.items() <= backbone.items()
    # The file that `tools/pretrain.py --eval` takes, into plain and slimmable networks.
    path = tmp_path / f'{name}.pth'
    torch.save({'state_dict': {f'module.{key}': value for key, value in theirs.items()}}, path)
    main([str(path), '--from', 'gradaug', '--to', 'classifier', '--out', str(tmp_path)])
    (path,) = tmp_path.glob(f'{name}_classifier-*.pth')
    state = torch.load(path, weights_only=True)['state_dict']
    images = random_images(1, 3, 32, 32, dtype=torch.float64)
    expected = forward(Layers(theirs), images)
    assert expected.std() > 0.1
    for kind in (backbone['type'], f'Slimmable{backbone["type"]}'):
        network = dict(backbone, type=kind)
        classes = len(theirs.get('fc.bias', theirs.get('classifier.0.bias')))
        with torch.device('meta'):  # random weights of this size take seconds
            model = MODELS.build(dict(type='Classifier', backbone=network, num_classes=classes))
        model.load_state_dict(state, assign=True)
        with torch.no_grad():
            logits = model.eval()(images)
        torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9)
