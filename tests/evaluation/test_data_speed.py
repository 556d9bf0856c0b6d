"""The training pipeline for ImageNet against torchvision's reference, on the same files."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image

from mmgradaug.evaluation.data_speed import make_jpegs, measure_speeds, pipelines_of, reference
from tests.networks import ROOT
from tools import benchmark_data

CONFIG = f'{ROOT}/configs/classification/resnet50_imagenet.py'


def pipelines():
    init_default_scope('mmdet')
    return pipelines_of(Config.fromfile(CONFIG).train_dataloader.dataset.pipeline)


def test_both_make_batches_of_the_same_images(tmp_path):
    paths = make_jpegs(tmp_path, 8)
    assert 60e3 < sum(path.stat().st_size for path in paths) / 8 < 160e3  # as ImageNet's
    assert Image.open(paths[0]).size == (500, 375)
    found = pipelines()
    outs = {name: pipeline(paths[0]) for name, pipeline in found.items()}
    ours = [out['inputs'] for name, out in outs.items() if name.startswith('ours')]
    theirs = [out for name, out in outs.items() if not name.startswith('ours')]
    assert {(o.dtype, *o.shape) for o in ours} == {(torch.uint8, 3, 224, 224)}
    assert {(o.dtype, *o.shape) for o in theirs} == {(torch.float32, 3, 224, 224)}
    speeds = measure_speeds(found, paths[:2], rounds=2)
    assert [s.name for s in speeds] == list(found)
    assert all(len(s.seconds) == 2 and min(s.seconds) > 0 for s in speeds)


def test_the_reference_normalises(tmp_path):
    path = tmp_path / 'grey.png'
    Image.new('RGB', (40, 30), (128, 128, 128)).save(path)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    out = reference(16, [])(path)
    torch.testing.assert_close(out.amax((1, 2)), (128 / 255 - mean) / std)
    assert torch.equal(out.amax((1, 2)), out.amin((1, 2)))
    jitter = [dict(type='torchvision/ColorJitter', brightness=(0.5, 0.5))]
    torch.testing.assert_close(reference(16, jitter)(path)[:, 0, 0], (64 / 255 - mean) / std)


def test_the_tool_prints_a_ratio_and_refuses_other_pipelines(capsys):
    words = ['--images', '1', '--rounds', '1', '--size', '64', '64']
    benchmark_data.main([CONFIG, *words])
    out = capsys.readouterr().out
    assert out.count('1.000') == 2
    assert 'ours, crop and flip' in out
    with pytest.raises(SystemExit, match='expected a torchvision/RandomResizedCrop'):
        benchmark_data.main([f'{ROOT}/configs/classification/resnet18_digits.py', *words])
