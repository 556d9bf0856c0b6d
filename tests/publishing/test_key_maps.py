"""Networks of other libraries, there and back: their names, bitwise, computing the same."""

import json
import os
import re
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from mmengine.registry import MODELS
from safetensors import torch as safetensors
from torch import nn

from mmgradaug.errors import ConfigError
from mmgradaug.publishing.key_maps import LIBRARIES, key_map, load_external
from tests.harmful import Command
from tests.networks import pretrained, random_images, randomised
from tests.oracles import assert_equal
from tools.publish import main

# Names and shapes as mmpretrain 1.2.0 has them, without counters.
MMPRETRAIN = json.loads(Path(__file__).with_name('mmpretrain_keys.json').read_text())
RESNETS = {
    'ResNet-18': dict(type='ResNet', depth=18),
    'ResNet-50': dict(type='ResNet', depth=50),
    'ResNetV1c-50': dict(type='ResNet', depth=50, deep_stem=True),
    'ResNetV1d-18': dict(type='ResNetV1d', depth=18),
    'ResNetV1d-50': dict(type='ResNetV1d', depth=50),
}
PLAIN = ('torchvision', 'gradaug')  # which have no deep stem


def network(name, classes=5, values=True):
    """A ResNet with a classifier and random weights, in evaluation mode."""
    found = MODELS.build(RESNETS[name])
    found.add_module('fc', nn.Linear(found.feat_dim, classes))
    if values:
        randomised(found).eval()
    return found


def renamed(found, library):
    """Weights of a network under a library's names."""
    names = key_map(found, library)
    return {names[key]: tensor for key, tensor in found.state_dict().items()}


@pytest.mark.parametrize('name', ['ResNet-18', 'ResNetV1c-50', 'ResNetV1d-18'])
def test_round_trips_are_bitwise(name):
    ours = network(name)
    for library in [x for x in LIBRARIES if name == 'ResNet-18' or x not in PLAIN]:
        options, again = load_external(renamed(ours, library), library, Path('a.pth'))
        assert options == RESNETS[name]
        assert_equal(again.state_dict(), ours.state_dict())


def shapes_of(state):
    return {k: list(v.shape) for k, v in state.items() if 'num_batches' not in k}


@pytest.mark.parametrize('name', [name for name in RESNETS if name in MMPRETRAIN])
def test_names_and_shapes_are_mmpretrains(name):
    with torch.device('meta'):
        state = renamed(network(name, classes=1000, values=False), 'mmpretrain')
    assert shapes_of(state) == MMPRETRAIN[name]


@pytest.mark.parametrize(('name', 'theirs'), [
    ('ResNet-50', 'resnet50'), ('ResNetV1c-50', 'resnet50c'), ('ResNetV1d-18', 'resnet18d'),
    ('ResNetV1d-50', 'resnet50d'),
])  # fmt: skip
def test_names_and_shapes_are_timms(name, theirs):
    with torch.device('meta'):
        state = renamed(network(name, classes=1000, values=False), 'timm')
        assert shapes_of(state) == shapes_of(timm.create_model(theirs).state_dict())


@pytest.mark.parametrize('depth', [18, 34, 50, 101, 152])
def test_torchvisions_are_recognised(depth):
    with torch.device('meta'):
        theirs = getattr(torchvision.models, f'resnet{depth}')().state_dict()
    old = {k: v for k, v in theirs.items() if 'num_batches' not in k and 'fc.' not in k}
    options, found = load_external(old, 'torchvision', Path('a.pth'))
    assert options == dict(type='ResNet', depth=depth)
    assert found.state_dict().keys() == theirs.keys() - {'fc.weight', 'fc.bias'}


def test_anything_else_is_named():
    theirs = dict(network('ResNet-18').state_dict(), extra=torch.ones(1))
    del theirs['layer3.0.bn2.running_var'], theirs['fc.bias']
    theirs['layer1.0.conv1.weight'] = torch.ones(32, 64, 3, 3)
    with pytest.raises(ConfigError, match=r'^their\.pth does not fit ResNet') as error:
        load_external(theirs, 'timm', Path('their.pth'))
    for told in ('"layer3.0.bn2.running_var", "fc.bias"', '"extra"', 'layer1.0.conv1.weight: copy'):
        assert told in str(error.value)


def test_other_networks_are_refused():
    densenet = {'features.norm0.weight': torch.ones(64)}
    for library, told in (('timm', 'known from timm'), ('gradaug', 'of the released code')):
        with pytest.raises(ConfigError, match=told):
            load_external(densenet, library, Path('densenet.pth'))
    with pytest.raises(ConfigError, match='torchvision has no ResNet with a deep stem'):
        key_map(network('ResNetV1d-18'), 'torchvision')


def classifier_of(name):
    """A classifier with random weights, in evaluation mode."""
    model = dict(type='Classifier', backbone=RESNETS[name], num_classes=1000)
    return randomised(MODELS.build(model)).eval()


def logits_agree(theirs, ours):
    """Compare logits on random images."""
    images = random_images(2, 3, 64, 64)
    with torch.no_grad():
        expected, found = ours(images), theirs(images)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


def publish(tmp_path, model, *options):
    """What tools/publish.py writes of a model's weights, and its record."""
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'mine.pth')
    out = tmp_path / '_'.join(options).replace('-', '')
    main([str(tmp_path / 'mine.pth'), '--out', str(out), *options])
    weights, record = sorted(out.iterdir(), key=lambda path: path.suffix == '.json')
    assert record == weights.with_suffix('.json')
    return weights, json.loads(record.read_text())


def test_torchvisions_resnet_gives_our_logits(tmp_path):
    """Of other depths keys are compared above, logits of ResNet-50 in test_released.py."""
    ours = classifier_of('ResNet-18')
    weights, record = publish(tmp_path, ours, '--to', 'torchvision')
    theirs = torchvision.models.resnet18()
    theirs.load_state_dict(torch.load(weights, weights_only=True))
    logits_agree(theirs.eval(), ours)
    assert (record['network'], record['source']) == ('ResNet-18', 'mine.pth')
    weights_alone, _ = publish(tmp_path, ours, '--to', 'torchvision', '--no-classifier')
    assert not any('fc.' in key for key in torch.load(weights_alone, weights_only=True))
    # And back, without a config: every tensor is the same.
    out = str(tmp_path / 'back')
    main([str(weights), '--from', 'torchvision', '--to', 'classifier', '--out', out])
    (path,) = (tmp_path / 'back').iterdir()
    assert_equal(torch.load(path, weights_only=True)['state_dict'], ours.state_dict())


@pytest.mark.slow
@pytest.mark.parametrize(('name', 'network', 'options'), [
    ('resnet50', 'ResNet-50', []), ('resnet50d', 'ResNetV1d-50', ['--safetensors']),
])  # fmt: skip
def test_timms_resnet_gives_our_logits(tmp_path, name, network, options):
    ours = classifier_of(network)
    weights, record = publish(tmp_path, ours, '--to', 'timm', *options)
    assert (weights.suffix == '.safetensors') == bool(options)
    theirs = timm.create_model(name, checkpoint_path=str(weights))  # strict, as it is timm's
    logits_agree(theirs.eval(), ours)
    assert record['library'] == 'timm'


@pytest.mark.parametrize('options', [[], ['--no-ema']])
def test_averaged_weights_of_timms_runs_are_taken_unless_asked_otherwise(tmp_path, options):
    last, averaged = (
        randomised(torchvision.models.resnet18(), seed).state_dict() for seed in (0, 1)
    )
    compiled = {f'_orig_mod.{k}': v for k, v in averaged.items()}
    ofs = {'module.n_averaged': torch.tensor(9), **{f'module.{k}': v for k, v in averaged.items()}}
    for index, more in enumerate([dict(state_dict_ema=compiled), dict(model_ema=ofs)]):
        torch.save({'state_dict': last, **more}, tmp_path / 'best.pth.tar')
        out = tmp_path / str(index)
        args = ['--from', 'timm', '--to', 'torchvision', '--out', str(out), *options]
        main([str(tmp_path / 'best.pth.tar'), *args])
        (path,) = out.glob('*_torchvision-*.pth')
        assert_equal(torch.load(path), last if options else averaged)


@pytest.mark.parametrize('options', [[], ['--no-ema']])
def test_averaged_weights_of_mmpretrains_runs_are_taken_unless_asked_otherwise(tmp_path, options):
    last, averaged = (renamed(randomised(network('ResNet-18'), s), 'mmpretrain') for s in (0, 1))
    exchanged = {'steps': torch.tensor(3), **{f'module.{k}': v for k, v in last.items()}}
    torch.save({'state_dict': averaged, 'ema_state_dict': exchanged}, tmp_path / 'epoch_1.pth')
    args = ['--from', 'mmpretrain', '--to', 'mmpretrain', '--out', str(tmp_path), *options]
    main([str(tmp_path / 'epoch_1.pth'), *args])
    (path,) = tmp_path.glob('*_mmpretrain-*.pth')
    assert_equal(torch.load(path), last if options else averaged)


def test_safetensors_there_and_back(tmp_path):
    theirs = renamed(network('ResNet-18'), 'timm')
    safetensors.save_file(theirs, tmp_path / 'model.safetensors')
    args = ['--from', 'timm', '--to', 'timm', '--safetensors', '--out', str(tmp_path / 'out')]
    main([str(tmp_path / 'model.safetensors'), *args])
    (path,) = (tmp_path / 'out').glob('model_timm-*.safetensors')
    assert_equal(safetensors.load_file(path), theirs)
    (tmp_path / 'cut.safetensors').write_bytes(path.read_bytes()[:1000])
    for name in ('cut', 'none'):
        with pytest.raises(SystemExit, match=rf'error: .*{name}\.safetensors is missing or damag'):
            main([str(tmp_path / f'{name}.safetensors'), *args])


def test_the_authors_resnet_starts_a_detector_and_can_be_evaluated(tmp_path):
    ours = network('ResNet-18')
    theirs = {f'module.{k}': v for k, v in renamed(ours, 'gradaug').items()}
    torch.save({'model': theirs, 'last_epoch': 120}, tmp_path / 'released.pt')
    name = tmp_path / 'pretrained/resnet18_gradaug.pth'
    args = [str(tmp_path / 'released.pt'), '--from', 'gradaug', '--out', str(name.parent)]
    main([*args, '--link', str(name)])
    assert os.readlink(name) == next(name.parent.glob('released_backbone-*')).name
    backbone = pretrained(name, type='ResNet', depth=18)
    features = {k: v for k, v in ours.state_dict().items() if not k.startswith('fc.')}
    assert_equal(backbone.state_dict(), features)
    contents = torch.load(name, weights_only=True)
    assert contents['state_dict'].keys() == features.keys()
    record = contents['meta']['mmgradaug']
    found = [record[key] for key in ('network', 'library', 'config', 'source')]
    assert found == ['ResNet-18', 'gradaug', 'released', 'released.pt']
    main([*args, '--to', 'classifier'])
    (path,) = name.parent.glob('released_classifier-*.pth')
    whole = torch.load(path, weights_only=True)['state_dict']
    assert_equal({k.removeprefix('backbone.'): v for k, v in whole.items()}, ours.state_dict())


def test_a_file_that_would_be_executed_is_refused(tmp_path):
    state = network('ResNet-18').state_dict()
    torch.save({'model': state, 'more': Command(tmp_path / 'done')}, tmp_path / 'theirs.pth')
    with pytest.raises(SystemExit, match='Nothing of it was executed'):
        main([str(tmp_path / 'theirs.pth'), '--from', 'torchvision'])
    assert not (tmp_path / 'done').exists()
    assert not (tmp_path / 'published').exists()


@pytest.mark.parametrize(('options', 'message'), [
    ('--from timm --to timm --width 0.9 --recalibrate 2', '--width 0.9: expected --to'),
    ('--width 0.9', 'expected both --width W and --recalibrate N'),
    ('--from timm --safetensors', '--safetensors: expected --to torchvision, timm'),
    ('--to backbone --no-classifier', '--no-classifier: expected --to'),
    ('--from timm --to classifier', 'has no classifier'),
    ('--from gradaug', r'mine\.pth does not fit DepthResNet: '),
])  # fmt: skip
def test_mistakes_are_one_line(tmp_path, capsys, options, message):
    path = tmp_path / 'mine.pth'
    torch.save(MODELS.build(RESNETS['ResNet-18']).state_dict(), path)
    with pytest.raises(SystemExit) as error:
        main([str(path), '--out', str(tmp_path / 'out'), *options.split()])
    # The last line of what argparse prints, or of our own.
    line = (capsys.readouterr().err if error.value.code == 2 else str(error.value)).strip()
    assert re.search(f'error: .*{message}', line.splitlines()[-1])
