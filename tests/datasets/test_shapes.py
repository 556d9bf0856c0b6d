"""Generated shapes: reproducible, labelled as painted, readable by mmdet."""

from dataclasses import replace

import numpy as np
import pytest
from pycocotools.coco import COCO

from mmgradaug.datasets.coco_writer import rasterize, write_coco
from mmgradaug.datasets.shapes import CLASSES, ShapesSpec, generate, make_shapes

SMALL = ShapesSpec(num_images=6, size=(96, 64), objects=(3, 6), seed=7)


def folder_content(root):
    """Every file under a folder by its relative path."""
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob('*') if p.is_file()}


def coco_of(root):
    """The training split read by pycocotools."""
    return COCO(str(root / 'annotations/train.json'))


def test_same_seed_gives_the_same_files_bit_by_bit(tmp_path):
    for name, spec in {'a': SMALL, 'b': SMALL, 'c': replace(SMALL, seed=8)}.items():
        make_shapes(tmp_path / name, spec, spec)
    first = folder_content(tmp_path / 'a')
    assert first == folder_content(tmp_path / 'b')
    assert first != folder_content(tmp_path / 'c')


def test_an_image_does_not_depend_on_how_many_are_made_but_on_the_split():
    few, other = (list(generate(replace(SMALL, num_images=2), split)) for split in ('train', 'val'))
    for a, b, c in zip(few, generate(SMALL), other, strict=False):
        assert np.array_equal(a.image, b.image)
        assert a.objects == b.objects
        assert not np.array_equal(a.image, c.image)


def test_second_run_writes_nothing_and_a_changed_spec_writes_all(tmp_path):
    make_shapes(tmp_path, SMALL, SMALL)
    stamps = {p: p.stat().st_mtime_ns for p in tmp_path.rglob('*.*')}
    make_shapes(tmp_path, SMALL, SMALL)
    assert stamps == {p: p.stat().st_mtime_ns for p in tmp_path.rglob('*.*')}
    make_shapes(tmp_path, replace(SMALL, objects=(1, 1)), SMALL)
    assert len(coco_of(tmp_path).anns) == 6


def test_areas_and_boxes_are_those_of_the_decoded_polygons(tmp_path):
    make_shapes(tmp_path, SMALL, SMALL)
    coco = coco_of(tmp_path)
    assert {a['category_id'] for a in coco.anns.values()} == {1, 2, 3}
    for annotation in coco.anns.values():
        assert isinstance(annotation['segmentation'], list) and not annotation['iscrowd']
        mask = coco.annToMask(annotation).astype(bool)
        assert annotation['area'] == mask.sum() > 0
        ys, xs = np.nonzero(mask)
        size = (xs.max() - xs.min() + 1, ys.max() - ys.min() + 1)
        assert annotation['bbox'] == [xs.min(), ys.min(), *size]


def test_visible_parts_do_not_overlap(tmp_path):
    """Objects hide each other, so labels share at most the pixels that an outline crosses."""
    crowded = replace(SMALL, num_images=20, objects=(6, 8), radius=(0.2, 0.3))
    make_shapes(tmp_path, crowded, SMALL)
    coco = coco_of(tmp_path)
    twice = once = 0
    for image_id in coco.imgs:
        masks = [coco.annToMask(a) for a in coco.loadAnns(coco.getAnnIds(imgIds=image_id))]
        count = np.sum(masks, axis=0)
        twice, once = twice + int((count > 1).sum()), once + int((count > 0).sum())
    assert twice < 0.03 * once


def test_objects_stand_out_from_the_ground():
    """A lone object's mean colour is at least 40 grey levels from the ground around it."""
    spec = replace(SMALL, objects=(1, 1), radius=(0.2, 0.3), num_images=10)
    for sample in generate(spec):
        ((_, segmentation),) = sample.objects
        inside = rasterize(segmentation, 64, 96)
        difference = sample.image[inside].mean(axis=0) - sample.image[~inside].mean(axis=0)
        assert np.abs(difference).mean() > 40


def test_scales_vary():
    areas = [
        rasterize(segmentation, 64, 96).sum()
        for sample in generate(replace(SMALL, num_images=20))
        for _, segmentation in sample.objects
    ]
    assert max(areas) > 10 * min(areas)


def test_an_interrupted_write_leaves_no_annotation_file(tmp_path):
    def samples():
        yield from generate(replace(SMALL, num_images=1))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_coco(tmp_path, 'train', samples(), CLASSES, {})
    assert [p.name for p in tmp_path.rglob('*') if p.is_file()] == ['shapes_00000.png']
