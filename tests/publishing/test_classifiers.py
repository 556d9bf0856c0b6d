"""tools/publish.py on classifiers: the backbone for mmdet's ResNet, narrow ones; and ONNX."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from mmgradaug import at_width, extract_subnet
from mmgradaug.errors import ConfigError
from mmgradaug.publishing.onnx import to_onnx
from mmgradaug.publishing.publish import dense_classifier
from mmgradaug.publishing.source import Cut, load_trained_model, open_source
from tests.classification.tiny import digits_config
from tests.networks import ROOT, pretrained, random_images, randomised, small_resnet
from tools.publish import main

NARROW = ['--width', '0.6', '--recalibrate', '4', '--device', 'cpu']


def write_run(cfg, path):
    """A checkpoint as a run of a classifier leaves it, of random weights; returns its path."""
    state = randomised(MODELS.build(cfg.model)).state_dict()
    torch.save({'meta': dict(cfg=cfg.pretty_text), 'state_dict': state}, path)
    return path


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A tiny classifier's checkpoint."""
    root = tmp_path_factory.mktemp('classifier')
    return write_run(digits_config(root / 'images'), root / 'epoch_2.pth')


def published(run, tmp_path, *options):
    main([str(run), '--out', str(tmp_path), *options])
    (path,) = tmp_path.iterdir()
    return path


def test_a_narrow_backbone_is_mmdets_and_computes_the_sub_networks_features(run, tmp_path):
    contents = torch.load(published(run, tmp_path, *NARROW), weights_only=True)
    record = contents['meta']['mmgradaug']
    assert (record['width'], record['recalibration_images']) == (0.6, 4)
    assert record['backbone']['type'] == 'ResNet'
    backbone = MODELS.build(record['backbone'])
    backbone.load_state_dict(contents['state_dict'])
    backbone.eval()
    source = open_source(run)
    parent, _ = load_trained_model(source, Cut(0.6, 4))
    assert not torch.equal(parent.backbone.bn1.running_mean, source.backbone['bn1.running_mean'])
    images = random_images(2, 3, 64, 64)
    with torch.no_grad(), at_width(parent, 0.6):
        expected, found = parent.backbone(images)[-1], backbone(images)[-1]
    torch.testing.assert_close(found[:, :38], expected[:, :38], rtol=1e-4, atol=1e-4)
    assert expected[:, :38].std() > 0.1
    assert not expected[:, 38:].any() and not found[:, 38:].any()


@pytest.mark.parametrize('width', [None, 0.6])
def test_a_dense_classifier_gives_the_logits(run, width):
    source, cut = open_source(run), Cut(width, 4 if width else 0)
    dense = dense_classifier(source, cut)
    parent, _ = load_trained_model(source, cut)
    images = random_images(2, 3, 64, 64)
    with torch.no_grad(), at_width(parent, width or 1.0):
        expected = parent(images)
        found = dense(images)
    assert {type(m).__module__.split('.')[0] for m in dense.backbone.modules()} <= {
        'mmdet', 'torch', 'mmengine'}  # fmt: skip
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.fixture
def onnxruntime():
    """It runs what torch writes with onnxscript."""
    pytest.importorskip('onnxscript')
    return pytest.importorskip('onnxruntime')


@pytest.mark.slow
@pytest.mark.parametrize('options', [[], NARROW])
def test_onnx_gives_the_logits(onnxruntime, run, tmp_path, options):
    path = published(run, tmp_path, '--to', 'onnx', *options)
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    assert [output.name for output in session.get_outputs()] == ['logits']
    record = json.loads(session.get_modelmeta().custom_metadata_map['mmgradaug'])
    assert (record['mean'], record['bgr_to_rgb']) == ([33.0] * 3, True)
    cut = Cut(0.6, 4) if options else Cut()
    parent, _ = load_trained_model(open_source(run), cut)
    images = random_images(3, 3, 64, 96)
    with torch.no_grad(), at_width(parent, cut.width or 1.0):
        expected = parent(images)
    found = torch.from_numpy(session.run(None, {'images': images.numpy()})[0])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


def test_onnx_takes_images_of_other_sizes_and_numbers(onnxruntime):
    options = dict(num_stages=2, strides=(1, 2), dilations=(1, 1), out_indices=(0, 1))
    network = extract_subnet(small_resnet(18, **options).eval(), 0.6)
    data = to_onnx(network, ['c2', 'c3'], {'width': 0.6})
    session = onnxruntime.InferenceSession(data, providers=['CPUExecutionProvider'])
    assert json.loads(session.get_modelmeta().custom_metadata_map['mmgradaug']) == {'width': 0.6}
    assert [o.name for o in session.get_outputs()] == ['c2', 'c3']
    for shape in ((1, 3, 33, 65), (3, 3, 64, 32)):
        images = random_images(*shape)
        found = session.run(None, {'images': images.numpy()})
        with torch.no_grad():
            expected = network(images)
        for array, tensor in zip(found, expected, strict=True):
            scale = max(1.0, tensor.abs().max().item())
            assert (torch.from_numpy(array) - tensor).abs().max() <= 1e-4 * scale


def test_onnx_that_computes_something_else_is_refused(onnxruntime, monkeypatch):
    monkeypatch.setattr(onnxruntime.InferenceSession, 'run', lambda *_: [np.zeros((2, 4, 48, 64))])
    with pytest.raises(ConfigError, match='published network differ by'):
        to_onnx(nn.Conv2d(3, 4, 1), ['c2'], {})


def test_what_mmdet_and_torchvision_have_not_is_refused(run, tmp_path):
    words = r'epoch_2\.pth does not fit ResNet: size mismatch for conv1\.weight'
    with pytest.raises(SystemExit, match=words):
        main([str(run), '--to', 'torchvision', '--out', str(tmp_path / 'out')])
    cfg = Config.fromfile(f'{ROOT}/configs/classification/wrn28-10_cifar100_gradaug.py')
    cfg.model.backbone.update(depth=10, widen_factor=1)
    args = [str(write_run(cfg, tmp_path / 'epoch_1.pth')), '--out', str(tmp_path / 'out')]
    with pytest.raises(SystemExit, match='the network is a WideResNet, which needs mmgradaug'):
        main(args)
    with pytest.raises(SystemExit, match='no network that is known from mmdet'):
        main([*args, '--to', 'timm'])
    main([*args, '--to', 'backbone'])
    (path,) = (tmp_path / 'out').iterdir()
    backbone = pretrained(path, type='WideResNet', depth=10, widen_factor=1)
    weights = torch.load(args[0], weights_only=True)['state_dict']
    for name, tensor in backbone.state_dict().items():
        assert torch.equal(tensor, weights[f'backbone.{name}'])


def three_commands(page):
    """Command lines of a page, as lists of words: those that pretrain, publish and fine-tune."""
    blocks = re.findall(r'```bash\n(.*?)```', (Path(ROOT) / page).read_text(), flags=re.DOTALL)
    lines = '\n'.join(blocks).replace('\\\n', ' ').splitlines()
    found = [shlex.split(line, comments=True) for line in lines if line.startswith('python')]
    at = next(i for i, words in enumerate(found) if '--link' in words)
    return found[at - 1 : at + 2]


def test_the_three_commands_make_what_the_configs_expect(tmp_path, monkeypatch):
    """The commands as they stand on both pages, with a network of a few channels."""
    assert three_commands('README.md') == three_commands('pretrained/README.md')
    pretrain, publish, train = three_commands('pretrained/README.md')
    tools = [words[1].removeprefix('tools/') for words in (pretrain, publish, train)]
    assert tools == ['pretrain.py', 'publish.py', 'train.py']
    checkpoint, cfg = Path(publish[2]), Config.fromfile(f'{ROOT}/{pretrain[2]}')
    assert checkpoint.parent == Path('work_dirs', Path(pretrain[2]).stem)
    assert checkpoint.name == f'epoch_{cfg.train_cfg.max_epochs}.pth'
    monkeypatch.chdir(tmp_path)
    checkpoint.parent.mkdir(parents=True)
    cfg.model.backbone.base_channels = 4
    write_run(cfg, checkpoint)
    main(publish[2:])
    weights = torch.load(checkpoint, weights_only=False)['state_dict']
    contents, kinds = torch.load('pretrained/resnet50_gradaug.pth', weights_only=True), set()
    assert contents['meta']['mmgradaug']['network'] == 'ResNet-50'
    for config in (f'{ROOT}/{train[2]}', f'{ROOT}/configs/mask_rcnn_r50_pretrained_1x.py'):
        options = Config.fromfile(config).model.backbone
        assert options.init_cfg.checkpoint == 'pretrained/resnet50_gradaug.pth'
        backbone = MODELS.build({**options, 'base_channels': 4})
        backbone.init_weights()
        kinds.add(options.type)
        assert contents['state_dict'].keys() == backbone.state_dict().keys()
        for name, tensor in backbone.state_dict().items():
            assert torch.equal(tensor, weights[f'backbone.{name}']), name
    assert kinds == {'ResNet', 'SlimmableResNet'}
