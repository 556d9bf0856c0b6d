"""COCO's metrics of files whose numbers pycocotools or mmdet take for something else."""

import json

import pytest
import torch
from mmdet.evaluation import CocoMetric
from mmengine.config import Config
from mmengine.evaluator import Evaluator

from mmgradaug.engine.coco_metric import CalibratedCocoMetric, ExactCocoMetric, exact_metrics
from mmgradaug.publishing.stock_config import stock_config

NAMES = ('disc', 'box', 'star')


@pytest.fixture
def evaluate(tmp_path):
    """Evaluate the same objects and predictions, whatever their numbers in the file are."""

    def run(kind, first_id=1, category_ids=(1, 2, 3), times=1, beyond=(), score=None, **options):
        objects = [(i % 2 + 1, i % 3, [9.0 * i, 9.0, 8.0, 8.0 + i % 4]) for i in range(9)]
        annotations = [
            dict(id=first_id + type(first_id)(index), image_id=image,
                 category_id=category_ids[label], bbox=box, area=box[2] * box[3], iscrowd=0)
            for index, (image, label, box) in enumerate(objects)
        ]  # fmt: skip
        categories = [dict(id=i, name=n) for i, n in zip(category_ids, NAMES, strict=True)]
        images = [dict(id=i, width=99, height=99, file_name=f'{i}.png') for i in (1, 2)]
        path = tmp_path / 'file.json'
        content = dict(images=images, categories=categories, annotations=annotations)
        path.write_text(json.dumps(content))
        metric = kind(ann_file=str(path), **options)
        metric.dataset_meta = dict(classes=(*NAMES, 'moon'))
        for _ in range(times):
            for image in (1, 2):
                # Discs are found, boxes beside where they are, stars not at all.
                found = [(label, box) for i, label, box in objects if i == image and label < 2]
                found += beyond
                corners = torch.tensor([[x + 2 * c, y, x + w, y + h] for c, (x, y, w, h) in found])
                pred = dict(
                    bboxes=corners,
                    scores=torch.linspace(score or 0.9, score or 0.5, len(found)),
                    labels=torch.tensor([label for label, _ in found]),
                )
                sample = dict(img_id=image, ori_shape=(99, 99), pred_instances=pred)
                metric.process({}, [sample])
            metrics = metric.evaluate(2)
        return {k: float(v) for k, v in metrics.items()}

    return run


def test_values_are_mmdets(evaluate):
    for options in (dict(), dict(classwise=True), dict(metric='proposal')):
        expected = evaluate(CocoMetric, **options)
        assert evaluate(ExactCocoMetric, **options) == pytest.approx(expected, nan_ok=True, rel=0)
    assert 0.3 < evaluate(ExactCocoMetric)['coco/bbox_mAP'] < 0.7


def test_predictions_of_a_class_that_the_file_lacks_do_not_count(evaluate):
    assert evaluate(ExactCocoMetric, times=2, beyond=[(3, [1.0] * 4)]) == evaluate(ExactCocoMetric)


def test_the_id_0_is_an_annotation_like_others(evaluate):
    expected = evaluate(CocoMetric)
    assert evaluate(CocoMetric, first_id=0) != expected
    for first_id in (0, 'a'):
        assert evaluate(ExactCocoMetric, first_id=first_id) == expected


@pytest.mark.parametrize(
    ('kind', 'times'),
    [(ExactCocoMetric, 1), (ExactCocoMetric, 2), (CalibratedCocoMetric, 2)],
)
@pytest.mark.parametrize('category_ids', [(1, 2, 3), (90, 7, 40), (7, 90, 3)])
def test_classes_keep_their_names_in_any_order_of_ids(evaluate, category_ids, kind, times):
    expected = evaluate(CocoMetric, classwise=True)
    assert [expected[f'coco/{name}_precision'] for name in NAMES][::2] == [1.0, 0.0]
    found = evaluate(kind, category_ids=category_ids, times=times, classwise=True)
    assert expected.items() <= found.items()


@pytest.mark.parametrize('kind', ['CocoMetric', 'mmdet.CocoMetric', CocoMetric])
def test_it_takes_the_place_of_mmdets_and_gives_it_back(kind):
    single = dict(type=kind, ann_file='val.json', metric='bbox')
    others = [dict(type='LVISMetric'), dict(type='VOCMetric'), None]
    several = [single, *others[:2]]
    exact = dict(single, type='ExactCocoMetric')
    assert exact_metrics(single) == exact == exact_metrics(exact)
    assert exact_metrics(several) == [exact, *others[:2]]
    nested = exact_metrics(dict(type='Evaluator', metrics=several))
    assert nested == dict(type='Evaluator', metrics=[exact, *others[:2]])
    assert [exact_metrics(other) for other in others] == others
    stock = stock_config(Config(dict(val_evaluator=exact, custom_imports=None)))
    assert stock.val_evaluator == dict(exact, type='CocoMetric')
    calibrated = Config(dict(val_evaluator=dict(exact, type='CalibratedCocoMetric')))
    assert stock_config(calibrated).val_evaluator == stock.val_evaluator
    assert exact_metrics(calibrated.val_evaluator) == calibrated.val_evaluator
    assert isinstance(Evaluator(dict(exact, ann_file=None)).metrics[0], ExactCocoMetric)


def test_calibration_error_is_the_gap_between_scores_and_right_boxes(evaluate):
    # All six boxes match, with scores 0.9, 0.7 and 0.5 in each image.
    error = {'coco/bbox_ECE': 0.3}
    assert evaluate(CalibratedCocoMetric) == pytest.approx({**evaluate(ExactCocoMetric), **error})
    # One more in each image matches nothing at 0.5; the others have 0.9, 0.767 and 0.633.
    wrong = evaluate(CalibratedCocoMetric, beyond=[(0, [50.0, 50.0, 8.0, 8.0])])
    assert wrong['coco/bbox_ECE'] == pytest.approx((0.1 + 0.233 + 0.367 + 0.5) / 4, abs=1e-3)
    # Right and wrong ones of the same score make up for each other.
    even = evaluate(CalibratedCocoMetric, beyond=[(0, [50.0, 50.0, 8.0, 8.0])], score=0.75)
    assert even['coco/bbox_ECE'] == pytest.approx(0.0)
