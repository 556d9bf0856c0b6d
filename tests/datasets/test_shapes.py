"""Generated shapes: reproducible, labelled as painted, readable by mmdet."""

from dataclasses import replace

import numpy as np
import pytest
from pycocotools.coco import COCO

from mmgradaug.datasets.coco_writer import rasterize, write_coco
from mmgradaug.datasets.shapes import CLASSES, ShapesSpec, generate, make_shapes

SMALL = ShapesSpec(num_images=6, size=(96, 64), objects=(3, 6), seed=7)


def test_an_image_depends_on_seed_split_and_place_alone():
    few = generate(replace(SMALL, num_images=2))
    others = generate(replace(SMALL, seed=8)), generate(SMALL, 'val')
    for a, b, *different in zip(few, generate(SMALL), *others, strict=False):
        assert np.array_equal(a.image, b.image) and a.objects == b.objects
        assert not any(np.array_equal(a.image, c.image) for c in different)


def test_files_are_the_same_bit_by_bit_and_written_once_unless_the_spec_changes(tmp_path):
    root, again = (make_shapes(tmp_path / name, SMALL, SMALL) for name in ('root', 'again'))
    stamps = {p: p.stat().st_mtime_ns for p in root.rglob('*.*')}
    for path in stamps:
        assert path.read_bytes() == (again / path.relative_to(root)).read_bytes()
    make_shapes(root, SMALL, SMALL)
    assert stamps == {p: p.stat().st_mtime_ns for p in root.rglob('*.*')}
    make_shapes(root, replace(SMALL, objects=(1, 1)), SMALL)
    assert len(COCO(str(root / 'annotations/train.json')).anns) == 6


def test_labels_are_the_visible_parts_with_areas_and_boxes_of_the_decoded_polygons(tmp_path):
    """Objects hide each other, so labels share at most the pixels that an outline crosses."""
    crowded = replace(SMALL, num_images=20, objects=(6, 8), radius=(0.2, 0.3))
    root = make_shapes(tmp_path, crowded, SMALL)
    coco = COCO(str(root / 'annotations/train.json'))
    assert {a['category_id'] for a in coco.anns.values()} == {1, 2, 3}
    twice = once = 0
    for annotations in coco.imgToAnns.values():
        masks = [coco.annToMask(annotation) for annotation in annotations]
        for annotation, mask in zip(annotations, masks, strict=True):
            assert isinstance(annotation['segmentation'], list) and not annotation['iscrowd']
            assert annotation['area'] == mask.sum() > 0
            ys, xs = np.nonzero(mask)
            size = (np.ptp(xs) + 1, np.ptp(ys) + 1)
            assert annotation['bbox'] == [xs.min(), ys.min(), *size]
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
