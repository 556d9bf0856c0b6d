"""tools/robustness.py, and the corruptions and their summary behind it."""

import copy
import json
import os
import statistics
import sys
from inspect import signature

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from PIL import Image

from mmgradaug.errors import ConfigError
from mmgradaug.evaluation import corruptions
from mmgradaug.evaluation.corruptions import ALEXNET_ERRORS, Corruption, CorruptionResult
from mmgradaug.evaluation.widths import Validation
from mmgradaug.reproduction.rows import read_rows
from mmgradaug.reproduction.runner import value_at
from mmgradaug.visualization import sweeps
from tests.classification.tiny import digits_config
from tests.networks import build, detector_config, randomised, saved_run
from tests.shapes_run import shapes_config
from tools.robustness import main

imagecorruptions = pytest.importorskip('imagecorruptions')


def test_the_papers_mean_corruption_error():
    """Table 8, GradAug-Mixup: the columns are corruption errors (CE), in per cent of AlexNet's."""
    row = [62, 65, 63, 77, 90, 79, 75, 64, 57, 50, 54, 52, 87, 77, 75]
    results = [CorruptionResult('clean', 0, {'accuracy/top1': 76.3})]
    for ce, (name, alexnet) in zip(row, ALEXNET_ERRORS.items(), strict=True):
        for severity, more in enumerate((-8, -4, 0, 4, 8), start=1):
            accuracy = 100 - (ce * alexnet / 100 + more)
            results.append(CorruptionResult(name, severity, {'accuracy/top1': accuracy}))
    summary = corruptions.summarise(results, num_classes=1000)
    assert value_at(summary, read_rows()['T8/gradaug'].metrics) == pytest.approx(68.5, abs=0.05)
    found = summary['CE']
    assert list(found.values()) == pytest.approx([sum(row) / 15, *row])
    assert 'CE' not in corruptions.summarise(results, num_classes=100)  # not ImageNet
    assert 'CE' not in corruptions.summarise(results[:-1], num_classes=1000)  # not all


def test_mean_and_relative_performance_under_corruption():
    """A detector that finds nothing has no metric, and no precision."""
    metrics = [{'coco/bbox_mAP': box, 'coco/segm_mAP': 0.2} for box in (0.4, 0.3, 0.1)] + [{}, {}]
    summary = corruptions.summarise([CorruptionResult('fog', *pair) for pair in enumerate(metrics)])
    assert summary['mPC'] == pytest.approx({'box AP': 0.1, 'mask AP': 0.1})
    assert summary['rPC'] == pytest.approx({'box AP': 25.0, 'mask AP': 50.0})


@pytest.fixture(scope='module')
def classifier(tmp_path_factory):
    """Config of a tiny classifier that knows its six images, and the tool's arguments."""
    root = tmp_path_factory.mktemp('classes')
    cfg = digits_config(root / 'images')
    model = MODELS.build(cfg.model).eval()
    randomised(model.backbone)
    (batch,) = Validation(cfg).loader
    data = model.data_preprocessor(batch)
    features = model.extract_feat(data['inputs'])[-1].mean((2, 3)).double().detach()
    fitted = torch.linalg.pinv(features) @ torch.eye(3).double()[data['data_samples']]
    model.fc.weight.data, model.fc.bias.data = fitted.T.float(), torch.zeros(3)  # all are right
    return cfg, saved_run(root, cfg, model)


def images_of(cfg, names, severities, **options):
    """Images of each corruption and severity, in the order of the data set."""
    return {
        (name, severity): torch.stack([i for batch in data.loader for i in batch['inputs']])
        for name, severity, data in corruptions.corrupted_data(cfg, names, severities, **options)
    }


def test_corruptions_depend_on_the_image_alone(classifier):
    cfg = copy.deepcopy(classifier[0])
    functions = imagecorruptions.corruption_dict
    own = {name for name in ALEXNET_ERRORS if 'seed' in signature(functions[name]).parameters}
    assert own == set(corruptions.OWN_SEED)
    names = [name for name in ALEXNET_ERRORS if name != 'glass_blur']  # compiles
    alone = images_of(cfg, names, [1, 5])
    clean = alone['clean', 0].float()
    assert clean.shape == (6, 3, 48, 48)
    for name in names:
        mild, strong = (alone[name, s].float().sub(clean).abs().mean() for s in (1, 5))
        assert 0 < mild != strong > 0, name
    cfg.val_dataloader.update(num_workers=2, persistent_workers=True, batch_size=1)
    noises = ['impulse_noise', 'snow', 'gaussian_noise']
    for pair, images in images_of(cfg, noises, [5], images=3).items():  # of 6: every second
        assert torch.equal(images, alone[pair][::2]), pair


def test_images_of_detectors_are_corrupted_before_they_are_resized(tmp_path):
    cfg = shapes_config(tmp_path, train=1, val=2)
    cfg.val_dataloader.dataset.pipeline[1].scale = (32, 32)
    *_, (_, _, data) = corruptions.corrupted_data(cfg, ['jpeg_compression'], [5])
    dataset = data.loader.dataset.dataset
    load, corrupt, resize = dataset.pipeline.transforms[:3]
    assert [type(step).__name__ for step in (corrupt, resize)] == ['Corruption', 'Resize']
    bgr = load(dataset.get_data_info(0))['img']
    expected = imagecorruptions.corrupt(bgr[..., ::-1], 5, 'jpeg_compression')[..., ::-1]
    assert np.array_equal(corrupt(load(dataset.get_data_info(0)))['img'], expected)
    assert dataset[0]['inputs'].shape == (3, 32, 32)


@pytest.mark.parametrize('grey', [True, False])
def test_grey_images_and_bytes_that_were_loaded_as_floats(grey):
    corrupt = Corruption()
    corrupt.name, corrupt.severity = 'contrast', 5
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    expected = imagecorruptions.corrupt(image[..., 0] if grey else image, 5, 'contrast')
    given, expected = (image[..., 0], expected[..., 0]) if grey else (image[..., ::-1], expected)
    for kind in (np.uint8, np.float32):
        found = corrupt({'img': given.astype(kind), 'img_path': 'a.png'})['img']
        assert found.dtype == kind
        assert np.array_equal(found if grey else found[..., ::-1], expected)
    with pytest.raises(ConfigError, match=r'a\.png cannot be corrupted'):
        corrupt({'img': given.astype(np.uint16) + 300, 'img_path': 'a.png'})


def test_published_images(classifier, tmp_path):
    """ImageNet-C's folders and CIFAR-C's arrays: the images and labels of each severity."""
    cfg = classifier[0]
    pixels = np.random.default_rng(0).integers(0, 255, (5, 3, 40, 40, 3), dtype=np.uint8)
    for image, name in zip(pixels[2], 'abc', strict=True):
        folder = tmp_path / f'snow/3/{name}'
        folder.mkdir(parents=True)
        Image.fromarray(image).save(folder / '1.png')
    expected = torch.from_numpy(pixels).permute(0, 1, 4, 2, 3)
    folders = images_of(cfg, ['snow'], [3], root=tmp_path)
    assert torch.equal(folders['snow', 3], expected[2])  # not resized to 48
    (tmp_path / 'snow/3/b/1.png').unlink()  # a class without images to validate
    rare = images_of(cfg, ['snow'], [3], root=tmp_path)
    assert torch.equal(rare['snow', 3], expected[2, [0, 2]])
    np.save(tmp_path / 'fog.npy', pixels.reshape(15, 40, 40, 3))
    np.save(tmp_path / 'labels.npy', np.tile([2, 1, 0], 5))
    *_, (_, _, found) = corruptions.corrupted_data(cfg, ['fog'], [4], root=tmp_path)
    (batch,) = found.loader
    assert torch.equal(torch.stack(list(batch['inputs'])), expected[3])
    assert batch['data_samples'].tolist() == [2, 1, 0]


def test_table_json_and_picture_of_a_classifier(classifier, tmp_path, capsys):
    command = classifier[1]
    options = ['--corruptions', 'contrast', 'fog', '--severities', '3', '5', '--out', str(tmp_path)]
    main([*command, *options])
    (path,) = tmp_path.glob('*.json')
    record = json.loads(path.read_text())
    top1 = [result['metrics']['accuracy/top1'] for result in record['results']]
    assert record['mPC'] == {'accuracy/top1': statistics.mean(top1[1:])}
    table = capsys.readouterr().out.splitlines()
    assert table[0] == f'clean               {top1[0]:.3f}'
    assert table[1].startswith('contrast ')
    assert table[2] == f'fog                 {top1[3]:.3f}  {top1[4]:.3f}'
    with Image.open(path.with_suffix('.png')) as picture:
        assert picture.size[0] > 700
    main([*command, '--fgsm', '--out', str(tmp_path)])
    attacked = json.loads(next(tmp_path.glob('fgsm_*.json')).read_text())
    assert attacked['fgsm'] == [0.05, 0.1, 0.15, 0.2, 0.25]
    assert attacked['clean'] == top1[:1] == [100.0]
    assert max(attacked['pixels'] + attacked['normalised']) < 70


def test_what_was_evaluated_before_a_stop_is_not_evaluated_again(classifier, tmp_path, monkeypatch):
    evaluate, calls, most, titles = Validation.evaluate, [], [3], []

    def counted(self, network):
        if len(calls) == most[0]:
            raise KeyboardInterrupt
        calls.append(1)
        return evaluate(self, network)

    monkeypatch.setattr(Validation, 'evaluate', counted)
    monkeypatch.setattr(sweeps, 'save_corruptions', lambda *given: titles.append(given[2]))
    config, checkpoint = classifier[1]
    few = ['--corruptions', 'contrast', 'fog', '--severities', '3', '5', '--out', str(tmp_path)]
    with pytest.raises(SystemExit, match='130'):
        main([config, checkpoint, *few])
    (path,), found = tmp_path.glob('*.json'), []
    assert len(json.loads(path.read_text())['results']) == 3
    most[0] = 99
    # Resumed, again, one corruption and one more, as at first; of fewer images, of other weights.
    more = [[], [], ['--corruptions', 'fog', 'snow'], [], ['--images', '3'], []]
    for evaluated, words in zip((5, 5, 7, 7, 12, 17), more, strict=True):
        if evaluated == 17:
            os.utime(checkpoint, (1, 1))
        main([config, checkpoint, *few, *words])
        found.append(json.loads(path.read_text()))
        assert len(calls) == evaluated
    assert found[0] == found[1] and found[0]['mPC'] == found[3]['mPC'] != found[2]['mPC']
    assert len(found[0]['results']) == 5 and found[2]['results'] == found[3]['results']
    assert found[3] == found[5] and len(list(tmp_path.glob('*.json'))) == 3
    assert titles[0].count('/') == 1, 'a whole path is cut off at both ends'


def test_a_narrow_detector_and_what_does_not_fit(classifier, tmp_path, monkeypatch):
    cfg = shapes_config(tmp_path / 'shapes', 2, 2, model=detector_config(min_width=0.5))
    model = build(cfg.model)
    randomised(model.backbone)
    command = saved_run(tmp_path, cfg, model)
    narrow = ['--width', '0.5', '--recalibrate', '1', '--corruptions', 'fog', '--severities', '1']
    main([*command, *narrow, '--cfg-options', 'model.test_cfg.rcnn.score_thr=0.0'])
    record = json.loads(next(tmp_path.glob('robustness/*.json')).read_text())
    assert set(record['mPC']) == {'box AP', 'mask AP'}
    step = Corruption()
    step.name, step.severity = 'fog', 1
    with pytest.raises(ConfigError, match=r'image 7 cannot be .* at least 32 pixels'):
        step({'img': torch.zeros(3, 28, 28, dtype=torch.uint8), 'sample_idx': 7})
    monkeypatch.setattr(imagecorruptions, 'corrupt', lambda image, severity, corruption_name: image)
    with pytest.raises(ConfigError, match=r'takes no seeds: .*imagecorruptions-imaug'):
        Corruption()  # that of the package which it was made from
    monkeypatch.setitem(sys.modules, 'imagecorruptions', None)
    for wrong, words in [
        ([*command, '--fgsm'], '--fgsm is for classifiers, .* is a detector'),
        ([*command, '--width', '0'], 'width'),
        ([*classifier[1], '--fgsm', '0', '4'], r'epsilons \[0.0, 4.0\], expected 0 to 1'),
        ([*classifier[1], '--corruptions', 'frog'], r"'frog' \(did you mean 'fog'\?\)$"),
        ([*classifier[1], '--severities', '6'], r'severities \[6\], expected of \[1, 2, 3, 4, 5\]'),
        ([*classifier[1], '--root', str(tmp_path)], 'has no gaussian_noise of severity 1: '),
        (classifier[1], 'no imagecorruptions: pip install imagecorruptions-imaug'),
    ]:
        with pytest.raises(SystemExit, match=f'^error: .*{words}.*$'):
            main(wrong)
