"""Weights of other libraries' ResNets, there and back: bitwise, computing the same, or refused."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
import torch
import torchvision
from mmdet.models.backbones import ResNet, ResNetV1d
from mmengine.registry import MODELS

from mmgradaug.publishing.conversion import (
    check_same_function,
    from_layout,
    shapes_of,
    standard_network,
    to_layout,
)
from mmgradaug.publishing.layouts import LAYOUTS, Architecture, layer_names
from tests.messages import one_line
from tests.networks import random_images, randomised
from tools.publish import main

R18 = Architecture(18)
R18D = Architecture(18, deep_stem=True, avg_down=True)
R50D = Architecture(50, deep_stem=True, avg_down=True)


def random_state(architecture, classes=5):
    """Random weights of every layer under mmdet's names, a classifier's among them."""
    generator = torch.Generator().manual_seed(0)
    shapes = shapes_of(architecture) | {
        'fc.weight': (classes, architecture.features),
        'fc.bias': (classes,),
    }
    return {
        key: torch.randn(*shape, generator=generator) if shape else torch.tensor(7)
        for key, shape in shapes.items()
    }


@pytest.fixture(scope='module')
def state():
    return random_state(R18)


def same(first, second):
    """Whether two state dicts are equal bit by bit."""
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize('architecture', [R18, R18D], ids=lambda a: a.name)
def test_round_trips_are_bitwise(architecture):
    ours = random_state(architecture)
    for layout in [name for name in LAYOUTS if layer_names(name, architecture)]:
        found, theirs = to_layout(ours, layout, 'a.pth')
        assert found == architecture
        plain = layout == 'timm' and architecture == R18
        assert same(theirs, ours) == (plain or layout in ('mmdet', 'torchvision'))
        found, again = from_layout(theirs, layout, 'b.pth')
        assert found == architecture
        assert same(again, ours)


# ------------------------------------------------------------------ what does not fit


def refusal(state, layout='timm'):
    with pytest.raises(ValueError, match='is no ResNet in') as error:
        from_layout(state, layout, 'their.pth')
    return str(error.value)


def test_anything_else_is_named(state):
    theirs = dict(state, extra=torch.ones(1))
    del theirs['layer3.0.bn2.running_var']
    theirs['layer1.0.conv1.weight'] = torch.ones(32, 64, 3, 3)
    assert refusal(theirs) == (
        "their.pth is no ResNet in timm's layout; as ResNet-18 it has 1 missing: "
        'layer3.0.bn2.running_var; 1 unexpected: extra; 1 of another shape: '
        'layer1.0.conv1.weight (32, 64, 3, 3) instead of (64, 64, 3, 3)'
    )
    del theirs['fc.bias']
    assert '2 missing: layer3.0.bn2.running_var, fc.bias;' in refusal(theirs)


@pytest.mark.parametrize(
    ('options', 'told'),
    [
        (dict(depth=18, base_channels=32), 'ResNet-18 with base_channels=32, expected'),
        (dict(depth=50, stem_channels=32), 'ResNet-50 with stem_channels=32, expected'),
        (dict(depth=18, in_channels=1), 'in_channels=1, expected in_channels=3'),
        (
            dict(depth=50, base_channels=16, stem_channels=8, deep_stem=True),
            'ResNetV1c-50 with base_channels=16, stem_channels=8, expected base_channels=64, stem',
        ),
    ],
)
def test_other_numbers_of_channels_are_named_alone(options, told):
    with torch.device('meta'):
        state = ResNet(**options).state_dict()
    with pytest.raises(ValueError, match=f'^mine.pth is .*{told}') as error:
        to_layout(state, 'timm', 'mine.pth')
    assert len(str(error.value)) < 250


@pytest.mark.parametrize('layout', ['torchvision', 'timm'])
def test_a_resnext_is_named(layout):
    with torch.device('meta'):
        state = torchvision.models.resnext50_32x4d().state_dict()
    told = r'a.pth is a ResNeXt with 32 groups of 4 channels, expected a ResNet.*--to mmdet'
    with pytest.raises(ValueError, match=told):
        to_layout(state, layout, 'a.pth')
    with pytest.raises(ValueError, match=told):
        from_layout(state, layout, 'a.pth')


def test_another_layout_is_recognised(state):
    _, theirs = to_layout(state, 'gradaug', 'a.pth')
    assert 'it is as gradaug have it' in refusal(theirs)
    assert 'missing: conv1.weight' in refusal(theirs)
    assert "in gradaug's layout; as ResNet-18" in refusal(state, 'gradaug')


def test_the_authors_networks_for_cifar_are_not_read():
    wide = MODELS.build(dict(type='WideResNet', depth=10, widen_factor=0.25)).state_dict()
    message = refusal(wide, 'gradaug')
    assert 'missing: features.0.0.weight' in message
    assert 'unexpected: ' in message
    assert message.endswith('ResNet-110 call their layers is not known here')


def test_old_files_without_counters_fit(state):
    old = {k: v for k, v in state.items() if 'num_batches' not in k and 'fc.' not in k}
    architecture, found = from_layout(old, 'torchvision', 'old.pth')
    assert architecture == R18
    assert same(found, old)


def test_a_library_without_the_network_is_named():
    with pytest.raises(ValueError, match=r'is ResNetV1d-18, which torchvision has not'):
        to_layout(random_state(R18D), 'torchvision', 'mine.pth')


@pytest.mark.parametrize(
    ('depth', 'options'),
    [
        (18, dict(dilations=(1, 1, 1, 2), strides=(1, 2, 2, 1))),
        pytest.param(50, dict(style='caffe'), marks=pytest.mark.slow),
    ],
)
def test_the_same_weights_in_another_network_are_refused(depth, options):
    backbone = randomised(ResNet(depth, **options))
    backbone.eval()
    with pytest.raises(ValueError, match=f'weights of ResNet-{depth} and computes something'):
        check_same_function(backbone, backbone.state_dict(), Architecture(depth), 'mine.pth')


# ------------------------------------------------------------------ files


def classifier_of(architecture, classes=1000):
    """A classifier with random weights, in evaluation mode."""
    backbone = {**architecture.options, 'out_indices': (3,)}
    model = MODELS.build(dict(type='Classifier', backbone=backbone, num_classes=classes))
    return randomised(model).eval()


def logits_agree(theirs, ours, size=64):
    """Compare logits on random images."""
    images = random_images(2, 3, size, size)
    with torch.no_grad():
        expected, found = ours(images), theirs(images)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


def publish(tmp_path, model, *options):
    """What tools/publish.py writes of a model's weights, and its record."""
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'mine.pth')
    out = tmp_path / '_'.join(options).replace('-', '')
    assert main([str(tmp_path / 'mine.pth'), '--out', str(out), *options]) == 0
    weights, record = sorted(out.iterdir(), key=lambda path: path.suffix == '.json')
    digest = sha256(weights.read_bytes()).hexdigest()[:8]
    assert weights.stem.endswith(f'-{digest}')
    assert record == weights.with_suffix('.json')
    return weights, json.loads(record.read_text())


@pytest.mark.parametrize('depth', [18, pytest.param(50, marks=pytest.mark.slow)])
def test_torchvisions_resnet_gives_our_logits(tmp_path, depth):
    ours = classifier_of(Architecture(depth))
    weights, record = publish(tmp_path, ours, '--to', 'torchvision')
    theirs = getattr(torchvision.models, f'resnet{depth}')()
    theirs.load_state_dict(torch.load(weights, weights_only=True))
    logits_agree(theirs.eval(), ours)
    assert record['network'] == f'ResNet-{depth}'
    assert record['source'] == 'mine.pth'
    # And back, without a config: every tensor is the same.
    out = str(tmp_path / 'back')
    main([str(weights), '--from', 'torchvision', '--to', 'classifier', '--out', out])
    (path,) = (tmp_path / 'back').iterdir()
    assert same(torch.load(path, weights_only=True)['state_dict'], ours.state_dict())


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'architecture', 'options'),
    [('resnet50', Architecture(50), []), ('resnet50d', R50D, ['--safetensors'])],
)
def test_timms_resnet_gives_our_logits(tmp_path, name, architecture, options):
    timm = pytest.importorskip('timm')
    ours = classifier_of(architecture)
    weights, record = publish(tmp_path, ours, '--to', 'timm', *options)
    assert (weights.suffix == '.safetensors') == bool(options)
    theirs = timm.create_model(name, checkpoint_path=str(weights))  # strict, as it is timm's
    logits_agree(theirs.eval(), ours)
    assert record['network'] == architecture.name
    layers = {key.rpartition('.')[0] for key in theirs.state_dict()}
    assert layers == set(layer_names('timm', architecture).values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ('type_', 'architecture'),
    [
        ('ResNet', R18),
        ('ResNet', Architecture(50)),
        ('ResNetV1c', Architecture(50, deep_stem=True)),
        ('ResNetV1d', R50D),
    ],
    ids=lambda value: getattr(value, 'name', None),
)
def test_mmpretrains_resnet_gives_our_logits(tmp_path, type_, architecture):
    if importlib.util.find_spec('mmpretrain') is None:
        pytest.skip('needs the files of mmpretrain: pip install --no-deps mmpretrain')
    ours = classifier_of(architecture)
    weights, record = publish(tmp_path, ours, '--to', 'mmpretrain')
    assert record['network'] == architecture.name
    torch.save(random_images(2, 3, 64, 64), tmp_path / 'images.pt')
    backbone = json.dumps(dict(type=type_, depth=architecture.depth))
    script = Path(__file__).parent / 'mmpretrain_alone.py'
    files = [weights, tmp_path / 'images.pt', tmp_path / 'logits.pt']
    subprocess.run([sys.executable, script, backbone, '1000', *files], check=True)
    logits_agree(lambda images: torch.load(files[-1]), ours)


def test_safetensors_there_and_back(tmp_path, state):
    safetensors = pytest.importorskip('safetensors.torch')
    theirs = to_layout(state, 'timm', 'mine.pth')[1]
    safetensors.save_file(theirs, tmp_path / 'model.safetensors')
    args = ['--from', 'timm', '--to', 'timm', '--safetensors', '--out', str(tmp_path / 'out')]
    assert main([str(tmp_path / 'model.safetensors'), *args]) == 0
    (path,) = (tmp_path / 'out').glob('model_timm-*.safetensors')
    assert same(safetensors.load_file(path), theirs)
    (tmp_path / 'cut.safetensors').write_bytes(path.read_bytes()[:1000])
    with pytest.raises(SystemExit, match=r'error: .*cut\.safetensors is damaged'):
        main([str(tmp_path / 'cut.safetensors'), *args])


def test_the_authors_weights_start_a_detector_and_can_be_evaluated(tmp_path, state):
    theirs = {f'module.{k}': v for k, v in to_layout(state, 'gradaug', 'mine.pth')[1].items()}
    path = tmp_path / 'released.pt'
    torch.save({'model': theirs, 'last_epoch': 120}, path)
    name = tmp_path / 'pretrained/resnet18_gradaug.pth'
    args = [str(path), '--from', 'gradaug', '--out', str(tmp_path / 'pretrained')]
    assert main([*args, '--link', str(name)]) == 0
    assert os.readlink(name) == next(name.parent.glob('released_backbone-*')).name
    backbone = ResNet(18, init_cfg=dict(type='Pretrained', checkpoint=str(name)))
    backbone.init_weights()
    ours = {k: v for k, v in state.items() if not k.startswith('fc.')}
    assert same(backbone.state_dict(), ours)
    contents = torch.load(name, weights_only=True)
    assert contents['state_dict'].keys() == ours.keys()
    record = contents['meta']['mmgradaug']
    found = [record[key] for key in ('network', 'layout', 'config', 'source', 'metrics')]
    assert found == ['ResNet-18', 'gradaug', 'released', 'released.pt', {}]
    assert main([*args, '--to', 'classifier']) == 0
    (path,) = name.parent.glob('released_classifier-*.pth')
    whole = torch.load(path, weights_only=True)['state_dict']
    assert same(whole, {k if 'fc.' in k else f'backbone.{k}': v for k, v in state.items()})
    assert main([*args, '--classifier', '--overwrite']) == 0
    paths = [torch.load(p, weights_only=True) for p in name.parent.glob('released_backbone-*')]
    assert any(same(contents['state_dict'], state) for contents in paths)


def test_a_v1d_of_mmpretrain_starts_ours(tmp_path):
    ours = random_state(R18D)
    torch.save({'state_dict': to_layout(ours, 'mmpretrain', 'x')[1]}, tmp_path / 'v1d.pth')
    assert main([str(tmp_path / 'v1d.pth'), '--from', 'mmpretrain', '--no-classifier']) == 0
    (path,) = (tmp_path / 'published').iterdir()
    init_cfg = dict(type='Pretrained', checkpoint=str(path))
    backbone = ResNetV1d(depth=18, init_cfg=init_cfg)
    backbone.init_weights()
    assert same(backbone.state_dict(), {k: v for k, v in ours.items() if 'fc.' not in k})


class Touch:
    """Leaves a file behind where a pickle of it is executed."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_file_that_would_be_executed_is_refused(tmp_path, state):
    torch.save({'model': state, 'more': Touch(tmp_path / 'done')}, tmp_path / 'theirs.pth')
    with pytest.raises(SystemExit, match='Nothing of it was executed'):
        main([str(tmp_path / 'theirs.pth'), '--from', 'torchvision'])
    assert not (tmp_path / 'done').exists()
    assert not (tmp_path / 'published').exists()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ('--from timm --to classifier --no-classifier', '--to backbone writes one without'),
        ('--from timm --to timm --width 0.9 --recalibrate 2', '--width 0.9 --to timm: no such'),
        ('--from timm --width 0.9 --recalibrate 2 --classifier', '--classifier with --width'),
        ('--from timm --safetensors', '--safetensors --to mmdet, expected --to torchvision'),
        ('--from timm --ema', '--ema with --from timm'),
        ('--from timm --to classifier', 'has no classifier'),
        ('--from mmpretrain', r"no ResNet in mmpretrain's layout.*as mmdet and torchvision and t"),
        (
            '--to torchvision --link {0}',
            r'--link \S+mine\.pth is a file, expected nothing there, or',
        ),
        ('--to torchvision --link {0} --overwrite', r'mine\.pth is a file, .*another --link'),
        ('--to torchvision --out {0}', r'--out \S+mine\.pth: it is no folder, expected a folder'),
    ],
)
def test_mistakes_are_one_line(tmp_path, options, message):
    path = tmp_path / 'mine.pth'
    small = {k: v.half() for k, v in standard_network(R18).state_dict().items()}
    torch.save(small, path)
    with pytest.raises(SystemExit) as error:
        main([str(path), '--out', str(tmp_path / 'out'), *options.format(path).split()])
    text = one_line(error.value)
    assert re.search(message, text), text
