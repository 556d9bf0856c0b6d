import json
import math
import re
import shutil
from pathlib import Path

import pytest
from mmengine.registry import DATASETS
from pycocotools.coco import COCO

from mmgradaug.engine.preflight import check_data
from mmgradaug.engine.preflight.boxes import warn_of_boxes_beyond
from mmgradaug.engine.preflight.coco_file import CocoFile, read_coco
from mmgradaug.engine.preflight.datasets import coco_uses
from mmgradaug.engine.preflight.image_files import Image, chosen_images


def check(cfg):
    check_data(cfg, ('train', 'val'))


def fails(cfg, words, error=ValueError):
    with pytest.raises(error, match=words) as raised:
        check(cfg)
    return str(raised.value)


def first(content):
    return content['annotations'][0]


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


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (dict(segmentation=[]), 'has no segmentation'),
        (dict(segmentation=dict(counts='abc', size=[3, 3])), "is not of its image's"),
        (dict(segmentation=dict(counts=[5, 5], size=[64, 64])), "is not of its image's"),
        (dict(segmentation=dict(counts='abc', size=[64, 64])), 'annotation 1 .* cannot be read'),
        (dict(segmentation=[1, 1, 50, 1, 50, 50]), 'polygon that train_dataloader.dataset cannot'),
        (dict(segmentation=[['a', 'b', 3, 4, 5, 6]]), 'annotation 1 has a polygon .* in pixels'),
        (dict(segmentation=[[1, 1, math.nan, 1, 5, 5]]), 'annotation 1 has a polygon .* in pixels'),
    ],
)
def test_masks_that_would_stop_training(cfg, spoil, change, words):
    spoil(lambda c: first(c).update(change))
    fails(cfg, words)
    cfg.train_dataloader.dataset.pipeline[1].with_mask = False
    check(cfg)


@pytest.mark.parametrize(
    ('segmentation', 'stops'),
    [
        ([[1, 1, 5, 5]], True),
        ([[]], True),
        ([[1, 1, 5, 5], [1, 1, 9, 9, 1, 9]], True),
        ([[1, 1, 9, 9, 1, 9], [1, 1, 5, 5]], False),
        ([[1, 1, 9, 9, 1, 9, 4]], False),
        (dict(size=[64, 64]), True),
        (dict(counts=[64 * 64], size=[64, 64]), False),
    ],
)
def test_masks_that_would_stop_an_evaluation(cfg, spoil, segmentation, stops):
    """Told before the run exactly where pycocotools would stop after the first epoch."""
    spoil(lambda c: first(c).update(segmentation=segmentation), 'val')
    coco = COCO(cfg.val_evaluator.ann_file)
    annotation = first(coco.dataset)
    if stops:
        fails(cfg, r'annotation \d+ has a segmentation that val_evaluator \(pycoco.* cannot draw')
        with pytest.raises(Exception):  # noqa: B017, PT011
            coco.annToRLE(annotation)
    else:
        check(cfg)
        coco.annToRLE(annotation)


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


def test_images_without_annotations_can_be_predicted(cfg, spoil):
    spoil(lambda c: c.pop('annotations') and None, 'val')
    fails(cfg, 'no object to compare predictions with')
    cfg.val_evaluator.update(format_only=True, outfile_prefix='results')
    check(cfg)


@pytest.mark.parametrize('kind', ['LoadImageFromFile', 'mmcv.transforms.LoadImageFromFile'])
def test_missing_images_are_counted(cfg, root, kind):
    for split in ('train', 'val'):
        cfg[f'{split}_dataloader'].dataset.pipeline[0].type = kind
    for path in sorted((root / 'train').iterdir())[:2]:
        path.unlink()
    words = r'2 of 3 images .* are not in .*/train .* the first is shapes_00000\.png'
    fails(cfg, words, FileNotFoundError)
    cfg.train_dataloader.dataset.pipeline[0].ignore_empty = True
    check(cfg)


def test_images_left_out_may_be_missing(cfg, root, spoil):
    def without_objects(content):
        image = content['images'][0]
        (root / 'train' / image['file_name']).unlink()
        content['annotations'] = [a for a in content['annotations'] if a['image_id'] != image['id']]

    spoil(without_objects)
    fails(cfg, '1 of 3 images', FileNotFoundError)
    cfg.train_dataloader.dataset.filter_cfg = dict(filter_empty_gt=True)
    check(cfg)
    cfg.train_dataloader.dataset.filter_cfg = dict(min_size=65)
    fails(cfg, 'no image to load out of 3')


def test_an_evaluator_of_other_images_is_an_error(cfg, root, spoil):
    spoil(lambda c: c['images'][0].update(id=77) or c['annotations'][0].update(image_id=77), 'val')
    other = root / 'annotations/val.json'
    cfg.val_evaluator.ann_file = str(root / 'annotations/train.json')
    message = fails(cfg, r'lacks 1 of the 2 images .* of id 77')
    assert str(other) in message


@pytest.mark.parametrize(
    ('name', 'other', 'same'),
    [
        ('0001.jpg', 'val/0001.jpg', True),  # relative to another folder
        ('a\\0001.jpg', 'a/0001.png', True),  # another system, another type
        ('0001.jpg', '0002.jpg', False),
        ('train/0001.jpg', 'val/0001.jpg', False),
        ('1.jpg', '01.jpg', False),
        ('frame.0001', 'frame.0002', False),
    ],
)
def test_the_same_image_in_two_files(name, other, same):
    one, two = Image(name, 64, 96), Image(other, 64, 96)
    assert one.is_same(two) is two.is_same(one) is same
    assert not one.is_same(two._replace(height=65))


def test_an_evaluator_of_other_images_under_the_same_ids_is_an_error(cfg, root, spoil, capsys):
    """Ids of every split begin at 1, so those of a small one are among a large one's."""
    spoil(lambda c: [i.update(file_name=f'v{i["id"]}.png') for i in c['images']] and None, 'val')
    for number in (1, 2):
        shutil.copy(root / 'val/shapes_00000.png', root / f'val/v{number}.png')
    cfg.val_evaluator.ann_file = str(root / 'annotations/train.json')
    fails(
        cfg,
        r'train\.json \(val_evaluator\.ann_file\) has other images under the ids of 2 of the 2 '
        r'images of .*val\.json .*, such as shapes_00000\.png \(64 x 64 pixels\) for v1\.png',
    )
    # The same images and one more, which CocoMetric expects predictions for.
    more = dict(file_name='v3.png', id=3, height=64, width=64)
    content = json.loads((root / 'annotations/val.json').read_text())
    content['images'].append(more)
    cfg.val_evaluator.ann_file = str(root / 'annotations/more.json')
    Path(cfg.val_evaluator.ann_file).write_text(json.dumps(content))
    check(cfg)
    (line,) = capsys.readouterr().err.splitlines()
    assert 'val.json (val_dataloader.dataset) leaves out 1 of the 3 images of' in line


def test_boxes_of_another_format_are_warned_of_once_a_file(cfg, spoil, capsys):
    def corners(content):
        for a in content['annotations']:
            x, y, width, height = a['bbox']
            a['bbox'] = [x, y, x + width, y + height]

    spoil(corners)
    spoil(corners, 'val')  # which a data set and an evaluator read
    check(cfg)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    for line, split in zip(lines, ('train', 'val'), strict=True):
        assert f'{split}.json ({split}_dataloader.dataset): ' in line
        assert 'expected [x, y, width, height]' in line
        assert line.endswith('is the file [x1, y1, x2, y2]?')


@pytest.mark.parametrize(
    ('box', 'beyond', 'words'),
    [
        ([10, 10, 60, 60], 25, None),  # corners, perhaps
        ([10, 10, 60, 60], 26, r'26 of 100 boxes reach .* \[x1, y1, x2, y2\]\?'),
        ([40, 40, 30, 30], 50, None),
        ([40, 40, 30, 30], 51, '51 of 100 boxes reach .* are they of larger images'),
        ([40, 40, 26, 26], 99, None),  # two pixels over the edge
    ],
)
def test_which_boxes_are_telling(cfg, capsys, box, beyond, words):
    image = dict(file_name='a', height=64, width=64)
    inside = [1, 1, 20, 20]  # in either format
    boxes = [box] * beyond + [inside] * (100 - beyond)
    content = CocoFile(Path('x.json'), {1: image}, [dict(image_id=1, bbox=b) for b in boxes], {})
    warn_of_boxes_beyond(content, 'key')
    told = capsys.readouterr().err
    assert re.search(words, told) if words else not told


def test_images_that_indices_leave_out_are_not_looked_at(cfg, root, spoil, capsys):
    names = sorted(path.name for path in (root / 'train').iterdir())
    (root / 'train' / names[2]).unlink()
    fails(cfg, '1 of 3 images', FileNotFoundError)
    for indices in (2, -3, [0, -2]):
        cfg.train_dataloader.dataset.indices = indices
        if indices == -3:
            fails(cfg, '1 of 3 images', FileNotFoundError)
        else:
            check(cfg)

    def outside(content):
        last = content['images'][2]['id']
        [a.update(bbox=[99, 9, 9, 9]) for a in content['annotations'] if a['image_id'] == last]

    spoil(outside)
    check(cfg)
    assert capsys.readouterr().err == ''
    cfg.train_dataloader.dataset.indices = [3]
    fails(cfg, r'indices=\[3\], expected a number of images, or places .from 0. among the 3 images')


def test_indices_count_what_the_filter_leaves(cfg, spoil):
    """As the data set itself does."""

    def without_objects(content):
        first = content['images'][0]['id']
        content['annotations'] = [a for a in content['annotations'] if a['image_id'] != first]

    spoil(without_objects)
    dataset = cfg.train_dataloader.dataset
    dataset.update(filter_cfg=dict(filter_empty_gt=True), indices=1)
    (use,) = coco_uses(cfg, ('train',))
    content = read_coco(use.path)
    chosen = chosen_images(content, use, set(content.categories))
    built = DATASETS.build(dataset)
    assert chosen == {built.get_data_info(0)['img_id']} == {list(content.images)[1]}


def test_an_evaluator_of_more_images_than_indices_choose_is_warned_of(cfg, capsys):
    cfg.val_dataloader.dataset.indices = 1
    check(cfg)
    (line,) = capsys.readouterr().err.splitlines()
    assert 'val_dataloader.dataset.indices leaves out 1 of the 2 images' in line


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
