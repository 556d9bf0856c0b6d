"""Which images of an annotation file a run needs, and which are there."""

import json
import shutil
from pathlib import Path

import pytest
from mmengine.registry import DATASETS

from mmgradaug.engine.preflight.coco_file import read_coco
from mmgradaug.engine.preflight.datasets import coco_uses
from mmgradaug.engine.preflight.image_files import Image, chosen_images
from tests.engine.preflight.checking import check, fails


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
