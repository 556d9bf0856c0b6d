"""Entries of annotation files."""

import json
import math
from pathlib import Path

import pytest
from mmengine.registry import DATASETS

from tests.engine.preflight.checking import check, fails, first


@pytest.mark.parametrize(
    'text', ['', '{"images": [', 'not json', '\xff\xfe', '\xef\xbb\xbf{}', '[' * 100_000]
)
def test_what_is_not_json_is_named(cfg, root, text):
    path = root / 'annotations/train.json'
    path.write_bytes(text.encode('latin-1'))
    assert str(path) in fails(cfg, r'not JSON|too deep')


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda c: [], 'JSON list'),
        (lambda c: {}, "no list 'images' and no list 'categories' .*nothing"),
        (lambda c: c.pop('images'), "no list 'images' "),
        (lambda c: c.update(annotations=None), "no list 'annotations'"),
        (lambda c: c.pop('categories') and None, "no list 'categories'"),
        (lambda c: c['images'].append(3), r'images\[3\] is not a JSON object'),
        (lambda c: c['images'][0].pop('file_name') and None, r'images\[0\] has no file_name'),
        (lambda c: c['images'][1].update(height=0), r'images\[1\] has no height'),
        (lambda c: c['images'][1].update(id=c['images'][0]['id']), r'images\[1\] has the id'),
        (lambda c: first(c).pop('category_id') and None, 'has no category_id'),
        (lambda c: first(c).pop('bbox') and None, r'annotations\[0\] has no usable bbox'),
        (lambda c: first(c).update(bbox=[1, 2, 3]), 'has no usable bbox'),
        (lambda c: first(c).update(bbox=[1, 2, 3, math.nan]), 'has no usable bbox'),
        (lambda c: first(c).update(area='big'), 'has no area'),
        (lambda c: first(c).update(id=c['annotations'][1]['id']), 'id of an earlier entry'),
        (lambda c: c['categories'][0].pop('name') and None, r'categories\[0\] has no name'),
        (lambda c: c['categories'][0].update(name='square'), 'several categories named square'),
        (lambda c: c['images'].clear(), 'no object to train on'),
    ],
)
def test_entries_that_would_stop_mmdet(cfg, spoil, change, words):
    path = spoil(lambda content: change(content) and None)
    if words in ('JSON list', "no list 'images' and no list 'categories' .*nothing"):
        spoil(change)
    assert str(path) in fails(cfg, words)


def test_categories_of_other_names_are_named_with_the_configs(cfg, spoil):
    names = iter(['Circle', 'Square', 'Triangle'])
    spoil(lambda c: [category.update(name=next(names)) for category in c['categories']] and None)
    message = fails(cfg, r'categories Circle, Square, Triangle, none of them in metainfo\.classes')
    assert '(circle, square, triangle)' in message
    del cfg.train_dataloader.dataset['metainfo']
    fails(cfg, r"the data set class's own classes \(person, bicycle.* \(80 in all\)\)")


@pytest.mark.parametrize('name', ['Circle', 'circle ', 'cirlce', 'circles'])
def test_a_misspelt_class_is_named_with_its_category(cfg, spoil, name):
    spoil(lambda c: c['categories'][0].update(name=name))
    fails(cfg, f"no category 'circle', a class of metainfo.classes, but {name!r}, whose objects")


@pytest.mark.parametrize('name', ['disc', None])
def test_a_class_without_a_category_is_warned_of(cfg, spoil, capsys, name):
    for split in ('train', 'val'):
        spoil(lambda c: c['categories'][2].update(name=name or 'x') and None, split)
        if name is None:
            spoil(lambda c: c['categories'].pop() and None, split)
    check(cfg)
    assert (
        'train.json (train_dataloader.dataset) has no category triangle' in capsys.readouterr().err
    )


def test_another_order_of_categories_is_warned_of(cfg, spoil, capsys):
    for split in ('train', 'val'):
        spoil(lambda c: c['categories'].reverse(), split)
    check(cfg)
    assert 'predictions of triangle, circle will bear other names' in capsys.readouterr().err


def test_files_have_to_agree_on_labels(cfg, spoil):
    spoil(lambda c: c['categories'].reverse(), 'val')
    fails(cfg, r"class 'triangle' has label 0 in .*val\.json .* and 2 in .*train\.json")


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda a: a.update(image_id=99), 'name an image_id'),
        (lambda a: a.update(category_id=99), 'are of categories'),
        (lambda a: a.update(bbox=[200, 2, 9, 9]), 'a box outside the image'),
        (lambda a: a.update(bbox=[-20, 2, 9, 9]), 'a box outside the image'),
        (lambda a: a.update(area=0), 'an area of 0'),
        (lambda a: a.update(bbox=[20, 2, -3, 9]), 'an area of 0 or a box of less'),
        (lambda a: a.update(segmentation=[[1, 1, 9, 9]]), 'without three points'),
        (lambda a: a.update(segmentation=dict(counts=None)), 'without three points'),
    ],
)
def test_objects_that_mmdet_drops_are_counted(cfg, spoil, capsys, change, words):
    spoil(lambda c: [change(a) for a in c['annotations'][:2]] and None)
    check(cfg)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('warning: ')
    assert 'train.json (train_dataloader.dataset): 2 of ' in line
    assert words in line
    spoil(lambda c: [change(a) for a in c['annotations']] and None)
    assert words in fails(cfg, 'no object to train on')


def test_objects_dropped_are_those_that_mmdet_drops(cfg, spoil):
    """The rules above against the data set itself."""
    changes = [
        dict(bbox=[200, 2, 9, 9]),
        dict(bbox=[64, 2, 9, 9]),
        dict(bbox=[-9, 2, 9, 9]),
        dict(area=0),
        dict(bbox=[2, 2, 0.5, 9]),
        dict(category_id=99),
        dict(bbox=[-3, -3, 9, 9]),  # stays
    ]
    spoil(lambda c: [a.update(b) for a, b in zip(c['annotations'], changes, strict=False)] and None)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    kept = sum(len(dataset.get_data_info(i)['instances']) for i in range(len(dataset)))
    total = len(json.loads(Path(dataset.ann_file).read_text())['annotations'])
    assert total >= len(changes)
    assert kept == total - 6


def test_evaluators_need_annotations_with_iscrowd(cfg, spoil):
    spoil(lambda c: c['annotations'][0].__delitem__('iscrowd'), 'val')
    fails(cfg, 'has no iscrowd, which val_evaluator needs')


@pytest.mark.parametrize('field', ['image_id', 'category_id'])
def test_ids_are_text_or_numbers_not_both(cfg, spoil, capsys, field):
    spoil(lambda c: [a.update({field: str(a[field])}) for a in c['annotations']] and None)
    fails(cfg, rf"has the {field} '(\d+)', \w+ have the id \1: text and numbers are different ids")
    name = 'images' if field == 'image_id' else 'categories'
    spoil(lambda c: [e.update(id=str(e['id'])) for e in c[name]] and None)
    check(cfg)  # mmdet and pycocotools work with text on both sides
    assert capsys.readouterr().err == ''


def test_ids_of_annotations_that_pycocotools_cannot_use(cfg, spoil):
    spoil(lambda c: [a.update(id=str(a['id'])) for a in c['annotations']] and None, 'val')
    check(cfg)  # they become numbers again
    spoil(lambda c: [a.update(id=f'a{a["id"]}') for a in c['annotations']] and None, 'val')
    fails(cfg, "annotation 'a1' has text for an id, expected a number, which val_evaluator")


def test_reading_can_be_switched_off(cfg, spoil):
    spoil(lambda content: {})
    cfg.check_annotations = False
    check(cfg)


def test_images_without_labels_can_be_asked_for(cfg, spoil, capsys):
    """As the unlabelled part of semi-supervised data; to train on nothing is an error."""
    path = spoil(lambda c: c['annotations'].clear())
    dataset = cfg.train_dataloader.dataset
    for options in (None, dict(filter_empty_gt=True), dict(min_size=8)):
        dataset.filter_cfg = options
        assert str(path) in fails(cfg, 'no object to train on: 0 annotations')
    dataset.filter_cfg = dict(filter_empty_gt=False)
    check(cfg)
    assert 'no object to train on: 0 annotations' in capsys.readouterr().err
    # Beside images with objects, such as validation's here, those without teach what is none.
    dataset.filter_cfg = None
    labelled = {**cfg.val_dataloader.dataset, 'test_mode': False}
    cfg.train_dataloader.dataset = dict(type='ConcatDataset', datasets=[dataset, labelled])
    check(cfg)
    assert 'no object to train on: 0 annotations' in capsys.readouterr().err


def test_crowd_regions_are_no_objects_to_train_on(cfg, spoil):
    spoil(lambda c: [a.update(iscrowd=1) for a in c['annotations']] and None)
    fails(cfg, r'no object to train on: (\d+) of \1 annotations are crowd regions')
