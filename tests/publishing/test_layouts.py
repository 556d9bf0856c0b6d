"""Names in other libraries are those libraries' own."""

import json
from pathlib import Path

import pytest
import torch
import torchvision

from mmgradaug.publishing.conversion import shapes_of
from mmgradaug.publishing.layouts import (
    ARCHITECTURES,
    LAYOUTS,
    Architecture,
    backwards,
    layer_names,
    renamed,
)

# Names and shapes as timm has them, without counters: `timm.create_model(NAME).state_dict()`.
TIMM = json.loads((Path(__file__).parent / 'timm_keys.json').read_text())
# And as mmpretrain has them, printed by mmpretrain_alone.py.
MMPRETRAIN = json.loads((Path(__file__).parent / 'mmpretrain_keys.json').read_text())
R50, R50C = Architecture(50), Architecture(50, deep_stem=True)
R50D = Architecture(50, deep_stem=True, avg_down=True)


def shapes_in(layout, architecture, classes=1000):
    """Names and shapes of a network in a layout, without counters."""
    ours = shapes_of(architecture) | {
        'fc.weight': (classes, architecture.features),
        'fc.bias': (classes,),
    }
    theirs = renamed(ours, layer_names(layout, architecture))
    return {k: list(v) for k, v in theirs.items() if not k.endswith('num_batches_tracked')}


@pytest.mark.parametrize(
    'architecture', [a for a in ARCHITECTURES if a.depth in (18, 50)], ids=lambda a: a.name
)
def test_layers_are_mmdets_and_names_lead_back(architecture):
    shapes = shapes_of(architecture)
    assert {key.rpartition('.')[0] for key in shapes} == set(architecture.layers())
    for layout in LAYOUTS:
        names = layer_names(layout, architecture)
        if not names:
            assert layout in ('torchvision', 'gradaug') and architecture.deep_stem
            continue
        assert len(set(names.values())) == len(names) == len(architecture.layers()) + 1
        assert renamed(renamed(shapes, names), backwards(names)) == shapes


@pytest.mark.parametrize('depth', [18, 50])
def test_torchvisions_names_and_shapes(depth):
    with torch.device('meta'):
        expected = getattr(torchvision.models, f'resnet{depth}')().state_dict()
    expected = {k: list(v.shape) for k, v in expected.items() if 'num_batches' not in k}
    assert shapes_in('torchvision', Architecture(depth)) == expected


@pytest.mark.parametrize('name', ['resnet18d', 'resnet50', 'resnet50c', 'resnet50d'])
def test_timms_names_and_shapes(name):
    depth, variant = int(name[6:8]), name[8:]
    assert shapes_in('timm', Architecture(depth, variant != '', variant == 'd')) == TIMM[name]


@pytest.mark.parametrize('architecture', [Architecture(18), R50, R50C, R50D], ids=lambda a: a.name)
def test_mmpretrains_names_and_shapes(architecture):
    assert shapes_in('mmpretrain', architecture) == MMPRETRAIN[architecture.name]


def test_mmpretrains_names():
    names = layer_names('mmpretrain', R50D)
    assert [names[f'stem.{i}'] for i in (0, 1, 3, 4, 6, 7)] == [
        f'backbone.stem.{i}.{part}' for i in range(3) for part in ('conv', 'bn')
    ]
    # It averages in shortcuts with a stride only, so the first stage counts from 0.
    assert names['layer1.0.downsample.1'] == 'backbone.layer1.0.downsample.0'
    assert names['layer1.0.downsample.2'] == 'backbone.layer1.0.downsample.1'
    assert names['layer2.0.downsample.1'] == 'backbone.layer2.0.downsample.1'
    plain = layer_names('mmpretrain', R50)
    assert plain['layer4.2.bn3'] == 'backbone.layer4.2.bn3'
    assert (plain['conv1'], plain['fc']) == ('backbone.conv1', 'head.fc')


def test_the_released_codes_names():
    names = layer_names('gradaug', R50)
    assert (names['conv1'], names['bn1']) == ('features.0.0', 'features.0.1')
    assert names['fc'] == 'classifier.0'
    first = {'conv1': 'body.0', 'bn1': 'body.1', 'conv2': 'body.3', 'bn2': 'body.4',
             'conv3': 'body.6', 'bn3': 'body.7', 'downsample.0': 'shortcut.0',
             'downsample.1': 'shortcut.1'}  # fmt: skip
    # Blocks are counted through stages of 3, 4, 6 and 3.
    for stage, number in (('layer1', 1), ('layer2', 4), ('layer3', 8), ('layer4', 14)):
        for ours, theirs in first.items():
            assert names[f'{stage}.0.{ours}'] == f'features.{number}.{theirs}'
    assert names['layer4.2.bn3'] == 'features.16.body.7'
    assert names['layer3.5.conv2'] == 'features.13.body.3'
