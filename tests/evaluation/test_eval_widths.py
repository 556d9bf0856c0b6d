"""tools/eval_widths.py, and the evaluation and timing behind it."""

import json
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import EVALUATOR, MODELS
from mmengine.structures import InstanceData
from PIL import Image

from mmgradaug.evaluation.widths import Validation, WidthResult
from tests.classification.tiny import digits_config
from tests.networks import build, detector_config, randomised, saved_run
from tests.shapes_run import shapes_config
from tools.eval_widths import main, print_widths


@pytest.fixture(scope='module')
def demo(tmp_path_factory):
    """The demo's config with a tiny detector, on 4 training and 6 validation images."""
    root = tmp_path_factory.mktemp('shapes')
    return shapes_config(root, train=4, val=6, model=detector_config())


class Oracle:
    """Predicts the labels of the images that it knows."""

    def __init__(self, known=()):
        self.known = known

    def test_step(self, data):
        for sample in data['data_samples']:
            labels = sample.gt_instances
            # Validation pipelines load labels after resizing: they are in original pixels.
            sample.pred_instances = InstanceData(
                bboxes=labels.bboxes.tensor,
                labels=labels.labels,
                scores=torch.ones(len(labels)),
                masks=labels.masks.to_tensor(torch.bool, 'cpu'),
            )[: len(labels) if sample.img_id in self.known else 0]
        return data['data_samples']


def test_a_part_of_the_images_counts_those_only(demo):
    part = Validation(demo, images=2)
    assert part.indices == [0, 3]
    known = {part.loader.dataset[i]['data_samples'].img_id for i in range(2)}
    metrics = part.evaluate(Oracle(known))
    assert metrics['coco/bbox_mAP'] == metrics['coco/segm_mAP'] == 1.0
    # An evaluator of several metrics as mmengine takes it, whose type may be left out.
    nested = Config(dict(demo, val_evaluator=dict(metrics=[demo.val_evaluator])))
    assert Validation(nested, images=2).evaluate(Oracle(known)) == metrics
    # The other images' objects are missed where all are evaluated.
    assert Validation(demo).evaluate(Oracle(known))['coco/bbox_mAP'] < 0.7


def test_lvis_counts_the_objects_of_those_images_only(demo, monkeypatch):
    """It evaluates all images of its file; mmdet tells it by a name that it does not know."""
    part = Validation(demo, images=2)
    lvis = SimpleNamespace(imgs=dict.fromkeys(range(1, 7), 'an image'))
    metric = SimpleNamespace(_lvis_api=lvis, img_ids=[])
    evaluator = SimpleNamespace(metrics=[metric], process=mock.Mock(), evaluate=lambda size: {})
    monkeypatch.setattr(EVALUATOR, 'build', lambda config: evaluator)
    part.evaluate(Oracle())
    assert list(lvis.imgs) == metric.img_ids == [1, 4]


def test_table_json_and_picture(demo, tmp_path, capsys):
    model, out = build(demo.model), tmp_path / 'out'
    randomised(model.backbone)
    options = ['--widths', '1.0', '0.5', '--recalibrate', '2', '--images', '2', '--rounds', '3']
    command = [*saved_run(tmp_path, demo, model), *options, '--out', str(out), '--device', 'cpu']
    main([*command, '--cfg-options', 'model.gradaug.min_width=0.6'])
    record = json.loads((out / 'widths.json').read_text())
    full, half = record['widths']
    assert [full['trained'], half['trained']] == [True, False]
    assert (full['width'], full['recalibration_images']) == (1.0, 0)
    assert (half['width'], half['recalibration_images']) == (0.5, 2)
    assert 0.2 < half['backbone_flops'] / full['backbone_flops'] < 0.35
    assert full['backbone_flops'] < full['flops']
    assert half['parameters'] < full['parameters'] == sum(p.numel() for p in model.parameters())
    assert set(full['metrics']) >= {'coco/bbox_mAP', 'coco/segm_mAP'}
    assert [len(r['seconds']) for r in (full, half)] == [3, 3]
    assert min(full['seconds']) > 0
    with Image.open(out / 'widths.png') as picture:
        assert picture.size[0] > 1000
    said = capsys.readouterr()
    assert 'mask AP' in said.out and '0.5 (not trained)' in said.out
    assert 'width 0.5 was never trained' in said.err
    with pytest.raises(SystemExit, match=r'^error: .*does not fit'):
        main([*command, '--cfg-options', 'model.backbone.base_channels=4'])
    with pytest.raises(SystemExit, match='2'):
        main([*command, '--rounds', '0'])
    assert 'error: --rounds 0, expected 1 or more' in capsys.readouterr().err


def test_accuracy_of_a_classifier(tmp_path, capsys):
    cfg = digits_config(tmp_path / 'images')
    model = randomised(MODELS.build(cfg.model)).eval()
    options = ['--widths', '1.0', '0.5', '--recalibrate', '4', '--rounds', '1', '--device', 'cpu']
    main([*saved_run(tmp_path, cfg, model), *options])  # beside the checkpoint
    full, half = json.loads((tmp_path / 'widths/widths.json').read_text())['widths']
    assert full['metrics'] == Validation(cfg).evaluate(model)
    assert set(half['metrics']) == {'accuracy/top1'}
    assert half['flops'] < 0.4 * full['flops']
    assert half['parameters'] < 0.4 * full['parameters']
    top1 = full['metrics']['accuracy/top1']
    assert f'width 1: accuracy/top1 {top1:.3f}' in capsys.readouterr().out


def test_long_names_of_metrics_are_whole_in_the_table(capsys):
    metrics = {f'pascal_voc/{name}': 0.25 for name in ('mAP', 'AP50', 'AP75', 'AP80', 'AP90')}
    print_widths([WidthResult(1.0, metrics, seconds=[0.1])])
    assert '…' not in capsys.readouterr().out
