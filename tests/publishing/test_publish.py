"""tools/publish.py end to end: what it writes works without mmgradaug, and is the same network."""

import json
import os
import subprocess
import sys
from collections import OrderedDict
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from mmdet.apis import inference_detector, init_detector
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmgradaug import __version__, at_width
from mmgradaug.errors import ConfigError
from mmgradaug.publishing.source import Cut, load_trained_model, open_source
from mmgradaug.publishing.writing import link
from tests.networks import ROOT, build, detector_config, pretrained, randomised
from tests.shapes_run import shapes_config
from tools.publish import main

WIDTH, IMAGES = 0.8, 6


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """Config file and checkpoint of a run of the demo's recipe with a tiny Mask R-CNN."""
    root = tmp_path_factory.mktemp('run')
    cfg = shapes_config(root / 'shapes', model=detector_config())
    cfg.model.test_cfg.rcnn.score_thr = 0.0
    cfg.custom_hooks = [dict(type='EMAHook')]
    cfg.model_wrapper_cfg = dict(type='GradAugDistributedDataParallel')
    init_default_scope('mmdet')
    model = build(cfg.model)
    randomised(model.backbone)
    state = model.state_dict()
    classes = dict(classes=('circle', 'square', 'triangle'))
    of_run = dict(experiment_name='mask_rcnn_tiny_20261122_031205', epoch=3, iter=30)
    checkpoint = {
        'meta': dict(cfg=cfg.pretty_text, dataset_meta=classes, **of_run),
        'state_dict': state,
        'ema_state_dict': OrderedDict(
            {f'module.{k}': v + 1 for k, v in model.named_parameters()}, steps=torch.tensor(3)
        ),
        'optimizer': {'state': {0: {'momentum_buffer': torch.ones(10)}}},
    }
    torch.save(checkpoint, root / 'epoch_3.pth')
    (root / 'config.py').write_text(cfg.pretty_text)
    return root / 'epoch_3.pth'


@pytest.fixture(scope='module')
def published(run, tmp_path_factory):
    """Published configs, whole and narrow, and a folder with what they did elsewhere."""
    out = tmp_path_factory.mktemp('published')
    narrow = ['--width', str(WIDTH), '--recalibrate', str(IMAGES)]
    for options in ([], narrow):
        main([str(run), '--out', str(out), '--device', 'cpu', *options])
    configs = sorted(out.glob('*.py'), key=lambda path: len(path.name))
    assert len(configs) == len(list(out.glob('*.pth'))) == 2
    results = tmp_path_factory.mktemp('results')
    script = Path(__file__).parent / 'without_mmgradaug.py'
    command = [sys.executable, script, results, image_of(run), *configs]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=results)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return [(c, torch.load(results / f'{c.stem}.pt'), results / f'{c.stem}.json') for c in configs]


def image_of(run):
    """A validation image."""
    return str(sorted((run.parent / 'shapes/val').iterdir())[0])


def test_detections_without_mmgradaug_are_identical(run, published):
    config, found, _ = published[0]
    assert 'mmgradaug' not in config.read_text().split('"""')[2]
    model = init_detector(str(run.parent / 'config.py'), str(run), device='cpu')
    expected = inference_detector(model, image_of(run)).pred_instances
    assert len(expected) > 10
    for key in ('bboxes', 'scores', 'labels', 'masks'):
        assert torch.equal(found[key], expected[key]), key


def test_narrow_detections_are_the_parents_at_that_width(run, published):
    config, found, _ = published[1]
    parent, cfg = load_trained_model(open_source(run), Cut(WIDTH, IMAGES))
    parent.cfg = cfg
    with at_width(parent, WIDTH):
        expected = inference_detector(parent, image_of(run)).pred_instances
    assert len(found['labels']) == len(expected) > 10
    assert torch.equal(found['labels'], expected.labels)
    torch.testing.assert_close(found['scores'], expected.scores, rtol=0, atol=1e-5)
    torch.testing.assert_close(found['bboxes'], expected.bboxes, rtol=0, atol=1e-2)
    assert (found['masks'] != expected.masks).float().mean() < 1e-3
    backbone = Config.fromfile(config).model.backbone
    assert (backbone.type, backbone.base_channels) == ('ResNet', 7)


@pytest.mark.parametrize('index', [0, 1])
def test_training_goes_on_without_mmgradaug(published, index):
    result = json.loads(published[index][2].read_text())
    assert result['loaded']
    assert result['iterations'] == 1
    assert result['changed'] > 50
    assert {'coco/bbox_mAP', 'coco/segm_mAP'} <= set(result['metrics'])


def test_files_name_their_contents(published):
    for (config, _, _), width in zip(published, (1.0, WIDTH), strict=True):
        path = config.with_suffix('.pth')
        digest = sha256(path.read_bytes()).hexdigest()[:8]
        stem = 'mask_rcnn_tiny' + ('' if width == 1 else f'_w{width}')
        assert path.name == f'{stem}-{digest}.pth'
        contents = torch.load(path, weights_only=True)
        assert set(contents) == {'meta', 'state_dict'}
        record = contents['meta']['mmgradaug']
        assert record['network'] == 'MaskRCNN, ResNet-18'
        assert record['width'] == width
        assert record['recalibration_images'] == (0 if width == 1 else IMAGES)
        assert (record['epoch'], record['iter'], record['source']) == (3, 30, 'epoch_3.pth')
        assert record['run'] == 'mask_rcnn_tiny_20261122_031205'
        assert (record['config'], record['mmgradaug_version']) == ('mask_rcnn_tiny', __version__)
        assert contents['meta']['dataset_meta']['classes'] == ('circle', 'square', 'triangle')
        # Slices are stored without the tensors they were cut from.
        size = sum(t.numel() * t.element_size() for t in contents['state_dict'].values())
        assert size < path.stat().st_size < size + 120_000


def test_existing_files_stay(run, published):
    path = published[0][0].with_suffix('.pth')
    before, data = path.stat().st_mtime_ns, path.read_bytes()
    args = [str(run), '--out', str(path.parent)]
    main(args)  # they hold what is published
    assert path.stat().st_mtime_ns == before
    path.write_bytes(b'edited')
    with pytest.raises(SystemExit, match=r'error: .*\.pth exists and holds something else: remove'):
        main(args)
    assert path.read_bytes() == b'edited'
    path.write_bytes(data)


def test_backbone_alone_loads_as_pretrained_weights(run, tmp_path):
    main([str(run), '--to', 'backbone', '--out', str(tmp_path), '--no-ema'])
    (path,) = tmp_path.iterdir()
    backbone = pretrained(path, type='ResNet', depth=18, base_channels=8)
    checkpoint = torch.load(run, weights_only=False)
    trained = {k.removeprefix('module.'): v for k, v in checkpoint['ema_state_dict'].items()}
    trained = checkpoint['state_dict'] | trained  # buffers are not averaged
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, trained[f'backbone.{name}'])
    assert open_source(run, trained=True).weights.keys() == checkpoint['state_dict'].keys()


def test_weights_without_a_config_need_one(run, tmp_path):
    state = torch.load(run, weights_only=False)['state_dict']
    torch.save({'state_dict': state}, tmp_path / 'weights.pth')
    args = [str(tmp_path / 'weights.pth'), '--out', str(tmp_path / 'out')]
    with pytest.raises(SystemExit, match=r'carries no config: .*--config'):
        main(args)
    with pytest.raises(SystemExit, match=r'weights\.pth does not fit MaskRCNN'):
        main([*args, '--config', f'{ROOT}/configs/mask_rcnn_r18_shapes.py'])
    assert not (tmp_path / 'out').exists()
    main([*args, '--to', 'backbone'])
    main([*args, '--config', str(run.parent / 'config.py')])
    # A file without a run is named by its place.
    names = sorted(path.name.rpartition('-')[0] for path in (tmp_path / 'out').iterdir())
    config = f'{tmp_path.name}_weights'
    assert names == [config, config, f'{config}_backbone']


def test_a_link_in_a_linked_folder_leads_to_the_file(tmp_path):
    """As where ``pretrained`` is a folder of a larger disk."""
    for folder in ('disk/pretrained', 'project/work_dirs'):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / 'project/pretrained').symlink_to(tmp_path / 'disk/pretrained')
    path = tmp_path / 'project/work_dirs/a.pth'
    path.write_bytes(b'weights')
    name = tmp_path / 'project/pretrained/b.pth'
    for _ in range(2):
        link(path, name)
        assert name.read_bytes() == b'weights'


def test_only_a_link_is_ever_replaced(tmp_path):
    file, name = tmp_path / 'notes.txt', tmp_path / 'pretrained/a.pth'
    file.write_text('mine')
    for there in (file, tmp_path):
        with pytest.raises(ConfigError, match=f'--link {there} exists and is no link'):
            link(tmp_path / 'b.pth', there)
    assert file.read_text() == 'mine'
    link(tmp_path / 'b.pth', name)
    assert os.readlink(name) == '../b.pth'
    link(file, name)
    assert name.read_text() == 'mine'
    assert [path.name for path in name.parent.iterdir()] == ['a.pth']
