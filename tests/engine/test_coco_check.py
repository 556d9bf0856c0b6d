"""Annotation files against configs: what is found, and what mmdet trains on is never refused."""

import copy
import re
import shutil

import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from mmdet.datasets import CocoDataset
from mmengine.config import Config, ConfigDict
from mmengine.registry import DATASETS
from pycocotools import mask as rle

from mmgradaug.datasets.shapes import CLASSES
from mmgradaug.engine.checks import check_data
from mmgradaug.engine.coco_check import _misspelling
from mmgradaug.errors import ConfigError
from tests.coco_runs import each, edit_annotations

LOOPS = ('train', 'val')


@DATASETS.register_module(force=True)
class OtherFormat(CocoDataset):
    """A user's data set with a reader of its own."""

    def load_data_list(self):
        return []


def fails(cfg, words, loops=LOOPS):
    with pytest.raises(ConfigError, match=words):
        check_data(cfg, loops)


def passes(cfg, capsys, loops=LOOPS):
    check_data(cfg, loops)
    assert capsys.readouterr().err == ''


def warning(cfg, capsys, loops=LOOPS):
    check_data(cfg, loops)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('warning: ')
    return line


def train_on_both(cfg, **options):
    """Train on the validation data, too, which may have other options."""
    dataset = cfg.train_dataloader.dataset
    other = dict(dataset, ann_file='annotations/val.json', data_prefix=dict(img='val/'))
    cfg.train_dataloader.dataset = dict(type='ConcatDataset', datasets=[dataset, other | options])


@pytest.mark.parametrize('wrap', [
    lambda d: dict(type='ConcatDataset', datasets=[d, d]),
    lambda d: dict(type='MultiImageMixDataset', dataset=dict(type='RepeatDataset', dataset=d)),
], ids=['several', 'one in another'])  # fmt: skip
def test_wrapped_data_sets_are_looked_into(cfg, root, wrap, capsys):
    cfg.train_dataloader.dataset = wrap(cfg.train_dataloader.dataset)
    passes(cfg, capsys)
    (root / 'annotations/train.json').unlink()
    fails(cfg, r'train\.json \(train_dataloader\.dataset\.dataset\S*\.ann_file\)')


def option(**options):
    return lambda cfg, root: cfg.train_dataloader.dataset.update(options)


def elsewhere(cfg, root):
    """Absolute file names, so that the folder of the config plays no part."""
    absolute = each(lambda i: dict(file_name=f'{root}/train/{i["file_name"]}'), 'images')
    edit_annotations(root, absolute)
    cfg.train_dataloader.dataset.data_prefix.img = 'none/'


def classes_as_types(cfg, root):
    """As of a config that imports its base."""
    cfg.train_dataloader.dataset.type = CocoDataset
    cfg.train_dataloader.dataset.pipeline[0].type = LoadImageFromFile


def without_images(**loader):
    def spoil(cfg, root):
        shutil.rmtree(root / 'train')
        cfg.train_dataloader.dataset.pipeline[0].update(loader)

    return spoil


UNUSUAL = {
    'remote folder': option(data_root='s3://bucket/coco/'),
    'remote backend': option(backend_args=dict(backend='petrel')),
    'remote client': without_images(file_client_args=dict(backend='petrel')),
    'another format': option(type='OtherFormat', ann_file='train', data_prefix=dict(img='none/')),
    'an option that its class will refuse': option(of_another_class=True),
    'a folder that nothing loads': option(data_prefix=dict(img='train/', seg='none/')),
    'absolute names': elsewhere,
    'a built data set': lambda cfg, root: cfg.train_dataloader.update(
        dataset=DATASETS.build(cfg.train_dataloader.dataset)
    ),
    'types that are classes': classes_as_types,
    'images from memory': without_images(type='LoadImageFromNDArray'),
    'images that may be missing': without_images(ignore_empty=True),
    'unread annotations': lambda cfg, root: (
        cfg.update(check_annotations=False)
        or (root / 'annotations/train.json').write_text('nothing')
    ),
}


@pytest.mark.parametrize('unusual', UNUSUAL)
def test_what_mmdet_trains_is_not_refused(cfg, root, unusual, capsys):
    UNUSUAL[unusual](cfg, root)
    passes(cfg, capsys)


def test_ids_may_be_floats_or_text(cfg, spoil, capsys):
    spoil(each(lambda a: {k: float(a[k]) for k in ('image_id', 'category_id')}))
    spoil(each(lambda i: dict(id=str(i['id'])), 'images'), 'val')
    spoil(each(lambda a: dict(image_id=str(a['image_id']))), 'val')
    passes(cfg, capsys)


@pytest.mark.parametrize(('name', 'other', 'alike'), [
    ('Traffic Light', 'traffic_light', True),
    ('traffic light', 'trafic light', True), ('circle', 'cirlce', True),
    ('truck', 'trucks', True), ('grade_1', 'grade_2', False),
    ('class a', 'class b', False), ('house', 'horse', False), ('male', 'female', False),
    ('+', '-', False), ('小汽车一', '小汽车二', False),
])  # fmt: skip
def test_misspellings(name, other, alike):
    assert _misspelling(name, ['something', other]) == (other if alike else None)


def test_a_class_without_a_category_is_warned_of(cfg, spoil, capsys):
    spoil(lambda c: c['categories'].pop())
    spoil(each(lambda a: dict(category_id=min(a['category_id'], 2))))
    assert ' has no category triangle, which metainfo.classes' in warning(cfg, capsys, ('train',))


def test_a_class_without_an_object_is_hinted_at(cfg, root, spoil, capsys):
    """Roboflow's first category is the data set's own name."""
    for split in ('train', 'val'):
        spoil(lambda c: c['categories'].insert(0, dict(id=0, name='shapes')), split)
        cfg[f'{split}_dataloader'].dataset.metainfo.classes = ('shapes', *CLASSES)
    assert 'no training object of shapes: if that is no kind of object' in warning(cfg, capsys)
    shutil.copy(root / 'annotations/train.json', root / 'annotations/second.json')
    train_on_both(cfg, ann_file='annotations/second.json', data_prefix=dict(img='train/'))
    spoil(lambda c: c['annotations'][0].update(category_id=0, iscrowd=1), 'second')
    check_data(cfg, ('train',))
    assert 'no training object of shapes: ' in capsys.readouterr().err  # crowds teach nothing
    spoil(lambda c: c['annotations'][0].update(iscrowd=0), 'second')
    passes(cfg, capsys, ('train',))


def test_a_text_is_one_class_and_two_categories_of_one_name_are_an_error(cfg, spoil, capsys):
    for split in ('train', 'val'):
        cfg[f'{split}_dataloader'].dataset.metainfo.classes = 'circle'  # ('circle') is a text
    check_data(cfg, LOOPS)
    assert 'of other categories than metainfo.classes' in capsys.readouterr().err
    spoil(lambda c: c['categories'].insert(0, dict(id=0, name='circle')))
    fails(cfg, r'train\.json .* has several categories of one name \(circle, circle\)')
    cfg.train_dataloader.dataset.metainfo.classes = ('circle', 'circle')  # meant so
    check_data(cfg, ('train',))


def test_files_that_number_classes_differently_are_an_error(cfg, root, spoil, capsys):
    for split in ('train', 'val'):
        spoil(lambda c: c['categories'].reverse(), split)
    expected = r"get wrong names, so .* to the file's, \('triangle', 'square', 'circle'\)"
    assert re.search(expected, warning(cfg, capsys))
    spoil(lambda c: c['categories'].reverse())
    fails(cfg, r'val\.json .* triangle, square, circle, .*train\.json .* has circle, square, tri')
    train_on_both(cfg)
    fails(cfg, 'all files need the same', ('train',))


@pytest.mark.parametrize(('fields', 'words'), [
    (dict(image_id=99), 'of unknown images'),
    (dict(ignore=1), "marked 'ignore'"),
    (dict(category_id=99), 'of other categories'),
    (dict(bbox=[200, 2, 9, 9]), 'with a box beside the image'),
    (dict(bbox=[-9, 2, 9, 9]), 'with a box beside the image'),
    (dict(area=0), 'or without area'),
    (dict(bbox=[2, 2, 0.5, 9]), 'or without area'),
    (dict(bbox=[float('nan'), 2, 9, 9]), 'or without area'),
    (dict(iscrowd=1), 'marked as crowds'),
])  # fmt: skip
def test_objects_that_mmdet_drops_are_counted(cfg, spoil, capsys, fields, words):
    """The rules are those of the data set itself."""
    spoil(lambda c: [a.update(fields) for a in c['annotations'][:2]])
    line = warning(cfg, capsys)
    assert 'train.json (train_dataloader.dataset): 2 ' in line and words in line
    dataset = DATASETS.build(copy.deepcopy(cfg.train_dataloader.dataset))
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    kept = sum(not i['ignore_flag'] for info in infos for i in info['instances'])
    assert f'of {kept + 2} annotations' in line
    spoil(each(**fields))
    fails(cfg, rf'no training image has an object left .*{words}')
    cfg.train_dataloader.dataset.filter_cfg = dict(filter_empty_gt=False)
    check_data(cfg, LOOPS)  # images of nothing are meant


@pytest.mark.parametrize('outline', [[[1, 2, 3, 4]], [[1, 2, 3, 4, 5, 6, 7]], [[]], [[[1, 2]] * 3]])
def test_polygons_that_mmdet_leaves_out_are_counted(cfg, spoil, capsys, outline):
    spoil(lambda c: c['annotations'][0].update(segmentation=outline))
    assert ': 1 without a polygon of three points of ' in warning(cfg, capsys)
    spoil(each(segmentation=outline))
    fails(cfg, 'no training image has an object left .* without a polygon')
    capsys.readouterr()
    cfg.train_dataloader.dataset.pipeline[1]['with_mask'] = False
    passes(cfg, capsys)


def test_run_lengths_that_mmdet_leaves_out_are_counted(cfg, spoil, capsys):
    spoil(each(lambda a: dict(segmentation=run_lengths(a))))
    passes(cfg, capsys)
    cfg.train_dataloader.dataset.pipeline[1]['poly2mask'] = False
    fails(cfg, 'no training image has an object left .* without a polygon')


@pytest.mark.parametrize('key', ['file_name', 'height', 'width'])
def test_the_evaluators_file_may_lack_what_only_names_images(cfg, root, capsys, key):
    shutil.copy(root / 'annotations/val.json', root / 'annotations/truth.json')
    cfg.val_evaluator.update(ann_file=str(root / 'annotations/truth.json'), metric='bbox')
    edit_annotations(root, lambda c: [i.pop(key) for i in c['images']], 'truth')
    passes(cfg, capsys)
    cfg.val_evaluator.metric = 'segm'
    if key != 'file_name':
        fails(cfg, rf"truth\.json .* no mask of annotation 1 \(KeyError\('{key}'\)\)")


@pytest.mark.parametrize('outline', [[[1, 2, 3, 4]], [[]], [[[1, 2]] * 6]])
def test_pycocotools_has_to_make_masks(cfg, spoil, capsys, outline):
    spoil(lambda c: c['annotations'][0].update(segmentation=outline), 'val')
    fails(cfg, r'val\.json \(val_evaluator\): pycocotools can make no mask of annotation ')
    spoil(lambda c: c['annotations'][0].update(image_id=99), 'val')
    passes(cfg, capsys)  # it never looks at that one


def box(change):
    return lambda a: dict(bbox=change(*a['bbox']))


def run_lengths(annotation, factor=1):
    x, y, width, height = (int(factor * value) for value in annotation['bbox'])
    mask = np.zeros((64 * factor, 64 * factor), np.uint8, order='F')
    mask[y : y + height, x : x + width] = 1
    return {**rle.encode(mask), 'counts': rle.encode(mask)['counts'].decode()}


MISFITS = {
    'run lengths of a larger image': lambda a: dict(segmentation=run_lengths(a, 4)),
    'divided by its size': lambda a: dict(segmentation=[[v / 64 for v in a['segmentation'][0]]]),
    'of a larger image': lambda a: dict(segmentation=[[4 * v for v in a['segmentation'][0]]]),
    'of another place': lambda a: dict(segmentation=[[v + 64 for v in a['segmentation'][0]]]),
    'corners': box(lambda x, y, w, h: [x, y, x + w, y + h]),
    'from the middle': box(lambda x, y, w, h: [x + w / 2, y + h / 2, w, h]),
}


@pytest.mark.parametrize('misfit', MISFITS)
def test_polygons_have_to_meet_their_boxes(cfg, spoil, capsys, misfit):
    spoil(each(lambda a: dict(area=a['bbox'][2] * a['bbox'][3])))  # as without outlines, below
    spoil(lambda c: c['annotations'][-1].update(MISFITS[misfit](c['annotations'][-1])), 'val')
    line = warning(cfg, capsys)
    assert re.search(r'val\.json \(val_evaluator\); outlines or areas of 1 of \d+', line)
    for split, key in (('val', 'val_evaluator'), ('train', 'train_dataloader.dataset')):
        spoil(lambda c: [a.update(MISFITS[misfit](a)) for a in c['annotations'][:-1]], split)
        fails(cfg, rf'{split}\.json \({key}\): outlines or areas of \d+ of \d+ objects do not meet')
    del cfg.train_dataloader.dataset.pipeline[1]['with_mask']
    if misfit == 'corners':  # without masks these spoil training, too
        fails(cfg, 'write boxes as', ('train',))
        spoil(each(segmentation=[]))
        fails(cfg, 'outlines or areas of .* write boxes as', ('train',))
    else:
        assert 'outlines or areas of' in warning(cfg, capsys, ('train',))


def rotated(x, y, width, height):
    """The bounds of a box that was turned by 45 degrees with its object."""
    size = (width + height) / 2**0.5
    return [x + (width - size) / 2, y + (height - size) / 2, size, size]


def wider(x, y, width, height, by):
    return [x - by, y - by, width + 2 * by, height + 2 * by]


HEALTHY = {
    'one pixel off': lambda a: dict(bbox=[v + 1 for v in a['bbox']]),
    'wide boxes': box(lambda *sides: wider(*sides, max(sides[2:]) / 2)),
    'narrow boxes': box(lambda *sides: wider(*sides, -min(sides[2:]) / 4)),
    'turned': box(rotated),
    'a polygon of half of it': lambda a: dict(
        segmentation=[[min(v, a['bbox'][0] + a['bbox'][2] / 2) if i % 2 == 0 else v
                       for i, v in enumerate(a['segmentation'][0])]]),
    'parts': lambda a: dict(segmentation=[[*a['bbox'][:2]] * 3, *a['segmentation']]),
    'coded run lengths': lambda a: dict(segmentation=run_lengths(a)),
    'texts': lambda a: dict(segmentation=[['1'] * 6]),  # mmdet reads none of these
    'run lengths': lambda a: dict(segmentation=dict(counts=[0, 4096], size=[64, 64])),
}  # fmt: skip


@pytest.mark.parametrize('kind', HEALTHY)
def test_polygons_and_boxes_may_differ(cfg, spoil, capsys, kind):
    for split in ('train', 'val'):
        spoil(each(HEALTHY[kind]), split)
    passes(cfg, capsys)


@pytest.mark.parametrize('other', [{}, dict(type='OtherFormat')])  # which may have some
def test_one_training_data_set_may_be_without_objects(cfg, spoil, other):
    spoil(lambda c: c['annotations'].clear())
    fails(cfg, 'no training image has an object left')
    train_on_both(cfg, **other)
    check_data(cfg, LOOPS)


@pytest.mark.parametrize(('change', 'words'), [
    (lambda c: c['images'][0].pop('file_name'), "without 'file_name'"),
    (lambda c: c['annotations'][0].pop('area'), "without 'area'"),
    (lambda c: c['annotations'][0].pop('segmentation'), "without 'segmentation'"),
    (lambda c: c['annotations'][0].pop('category_id'), "it has no 'category_id'"),
    (lambda c: c.update(annotations=None), 'is no annotation file'),
    (lambda c: c.pop('images'), r"is no annotation file \(it has no 'images'\)"),
    (lambda c: c['annotations'][0].update(bbox=list('1234')), 'mmdet cannot read .*numbers'),
    (lambda c: c['annotations'][0].update(bbox=[]), 'mmdet cannot read .*numbers'),
    (lambda c: c['annotations'][0].update(area=None), 'mmdet cannot read .*numbers'),
    (lambda c: c['images'][0].update(height='64'), 'mmdet cannot read .*numbers'),
    (lambda c: c['annotations'][0].update(id=2), 'an id of its own'),
])  # fmt: skip
def test_entries_that_cannot_be_read(cfg, spoil, change, words):
    path = spoil(change)
    fails(cfg, f'{path} .*{words}')


def test_the_folder_of_the_images_is_asked_for(cfg):
    del cfg.train_dataloader.dataset['data_prefix']
    fails(cfg, r'train\.json \(train_dataloader\.dataset\): data_prefix has no img')


def test_images_that_are_left_out_may_be_missing(cfg, root, spoil):
    spoil(lambda c: [a.update(image_id=c['images'][0]['id']) for a in c['annotations']])
    (root / 'train/shapes_00001.png').unlink()
    fails(cfg, r'1 of 3 images .*shapes_00001\.png')
    cfg.train_dataloader.dataset.indices = [0, 2]
    check_data(cfg, LOOPS)
    cfg.train_dataloader.dataset.update(indices=None, filter_cfg=dict(filter_empty_gt=True))
    check_data(cfg, LOOPS)


@pytest.mark.parametrize('metric', ['CocoMetric', 'CalibratedCocoMetric'])
def test_evaluators_need_their_keys_and_no_annotations_to_write_results(cfg, spoil, metric):
    cfg.val_evaluator.type = metric
    spoil(lambda c: c['annotations'][0].update(iscrowd=None, category_id=1), 'val')
    fails(cfg, r'val\.json \(val_evaluator\) lacks iscrowd: add')
    checked = copy.deepcopy(cfg)
    checked.val_dataloader.dataset.metainfo.classes = CLASSES[1:]  # the circle is not compared
    check_data(checked, ('val',))
    spoil(lambda c: c.pop('annotations'), 'val')
    fails(cfg, r'val\.json \(val_evaluator\) lacks annotations: add')
    cfg.val_evaluator.update(format_only=True, outfile_prefix='results')
    check_data(cfg, LOOPS)
    cfg.val_evaluator = [dict(type='VOCMetric'), dict(type='CocoMetric', ann_file='none.json')]
    fails(cfg, r'none\.json \(val_evaluator\.1\.ann_file\)')
    cfg.val_evaluator = dict(type='Evaluator', metrics=cfg.val_evaluator)
    fails(cfg, r'none\.json \(val_evaluator\.metrics\.1\.ann_file\)')


def test_evaluators_may_name_images_otherwise(cfg, root, spoil, capsys):
    cfg.val_evaluator.ann_file = str(root / 'annotations/other.json')
    shutil.copy(root / 'annotations/val.json', cfg.val_evaluator.ann_file)
    spoil(each(lambda i: dict(file_name=f'all\\{i["file_name"][:-3]}jpg'), 'images'), 'other')
    passes(cfg, capsys)
    cfg.val_dataloader.dataset.indices = 1
    assert 'has 1 images that are not predicted on' in warning(cfg, capsys)
    spoil(lambda c: c['images'][0].update(height=65), 'other')
    fails(cfg, r'other\.json \(val_evaluator\) is of other images .* it lacks 1 of 1')


def test_an_evaluator_of_several_data_sets_has_a_metric_for_each(cfg, root, capsys):
    train_on_both(cfg)
    cfg.val_dataloader.dataset = cfg.train_dataloader.dataset
    truths = [f'{root}/annotations/{split}.json' for split in ('train', 'val')]
    metrics = [dict(cfg.val_evaluator, ann_file=truth) for truth in truths]
    several = dict(type='MultiDatasetsEvaluator', dataset_prefixes=['a', 'b'])
    cfg.val_evaluator = dict(several, metrics=metrics)
    passes(cfg, capsys)
    cfg.val_evaluator = dict(several, metrics=metrics[::-1])
    fails(cfg, r'val\.json \(val_evaluator\.metrics\.0\) is of other images than .*train\.json')


def test_folders_of_classes_have_to_be_there(tmp_path):
    dataset = ConfigDict(type='ClassFolders', data_root=f'{tmp_path}/digit', split='train')
    cfg = Config(dict(train_dataloader=dict(dataset=dataset), data_help='run make_digits'))
    fails(cfg, r'no data at \S+/digit \(train.*img_path\).* run make_digits', ('train',))
    voc = dict(type='VOCDataset', data_prefix=dict(img='none/', sub_data_root=''))
    (tmp_path / 'VOC2007').mkdir()
    cfg.train_dataloader.dataset = dict(voc, data_root=f'{tmp_path}/VOC2007/')
    check_data(cfg, ('train',))  # it never reads what a COCO config's data_prefix leaves there
    cfg.train_dataloader.dataset.data_prefix.sub_data_root = 'JPEGImages/'
    fails(cfg, r'no data at \S+/VOC2007/JPEGImages \(train.*sub_data_root\)', ('train',))
    cfg.train_dataloader.dataset = dataset
    dataset.update(type='TorchvisionImages', name='CIFAR10')
    cfg.val_dataloader = copy.deepcopy(cfg.train_dataloader)
    dataset.download = True  # for all of that folder
    check_data(cfg, ('train', 'val'))


@pytest.mark.parametrize(('palette', 'told'), [
    ([(1, 2, 3)], 1), (['red', 'lime', '#00f'], 1), ([(1, 2, 3)] * 3, 0), ('random', 0),
])  # fmt: skip
def test_a_palette_that_cannot_be_drawn_with_is_told(cfg, capsys, palette, told):
    cfg.train_dataloader.dataset.metainfo['palette'] = palette
    check_data(cfg, ('train',))
    assert capsys.readouterr().err.count('metainfo.palette would end a run that draws') == told
