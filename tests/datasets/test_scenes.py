"""Scenes of garments: reproducible, of disjoint sources, labelled as painted."""

import gzip
from dataclasses import replace

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from mmgradaug.datasets.scenes import CLASS_OF, ScenesSpec, generate, make_scenes
from tests.classification.test_data import write_idx

SMALL = ScenesSpec(6, size=(96, 64), objects=(3, 5), seed=7)
SIDES = np.random.default_rng(0).integers(12, 27, (30, 2))
# Rectangles with a hole of one pixel: the first 20 train, the others validate.
GARMENTS = np.zeros((30, 28, 28), dtype=np.uint8)
for image, (height, width) in zip(GARMENTS, SIDES, strict=True):
    image[1 : height + 1, 1 : width + 1] = 255 - height
    image[5, 5] = 0
LABELS = np.arange(30) % 10


def scenes(spec=SMALL, split='train'):
    """Scenes of all garments."""
    return list(generate(spec, GARMENTS, LABELS, split))


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """A data set of files of these garments."""
    folder = tmp_path_factory.mktemp('fashion')
    for part, places in (('train', slice(20)), ('t10k', slice(20, None))):
        write_idx(folder, part, GARMENTS[places], LABELS[places], gzip.compress)
    return make_scenes(folder / 'scenes', str(folder), SMALL, replace(SMALL, num_images=20))


def test_a_scene_depends_on_seed_split_and_place_alone():
    few = scenes(replace(SMALL, num_images=2))
    others = scenes(replace(SMALL, seed=8)), scenes(split='val')
    for a, b, *different in zip(few, scenes(), *others, strict=False):
        assert np.array_equal(a.image, b.image) and a.notes == b.notes
        for (label, mask), (same, other) in zip(a.objects, b.objects, strict=True):
            assert label == same and np.array_equal(mask, other)
        assert not any(np.array_equal(a.image, c.image) for c in different)


def test_files_are_written_once_with_areas_and_boxes_of_the_masks(root):
    coco = COCO(str(root / 'annotations/val.json'))
    assert len(coco.imgs) == 20
    assert 60 <= len(coco.anns) <= 100
    for image in coco.imgs.values():
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=image['id']))
        masks = [coco.annToMask(annotation) for annotation in annotations]
        assert np.sum(masks, axis=0).max() == 1  # no pixel is of two garments
        for annotation, mask in zip(annotations, masks, strict=True):
            ys, xs = np.nonzero(mask)
            box = [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
            assert annotation['bbox'] == box and annotation['area'] == mask.sum()
        # Noted are the garments that the labels tell, in that order, among clippings.
        labels = iter(np.array(CLASS_OF)[LABELS[20:][image['sources']]] + 1)
        assert all(annotation['category_id'] in labels for annotation in annotations)
    stamps = {p: p.stat().st_mtime_ns for p in root.rglob('*.*')}
    make_scenes(root, str(root.parent), SMALL, replace(SMALL, num_images=20))
    assert stamps == {p: p.stat().st_mtime_ns for p in root.rglob('*.*')}


def test_training_and_validation_show_different_images(root):
    """Each reads its own file: 20 garments to train, 10 to validate, and uses all of them."""
    for split, part, count in (('train', 'train', 20), ('val', 'test', 10)):
        content = COCO(str(root / f'annotations/{split}.json'))
        assert f"Fashion-MNIST's {part} file" in content.dataset['info']['source']
        used = {place for image in content.imgs.values() for place in image['sources']}
        assert used <= set(range(count)) and len(used) > count / 2


def test_sizes_are_the_scales_times_the_garments_and_half_is_visible():
    for scale in (0.6, 1.0, 2.5):
        lone = replace(SMALL, num_images=20, objects=(1, 1), scales=(scale, scale))
        shares = []
        for sample in scenes(replace(lone, distractors=(0, 0))):
            ((_, mask),) = sample.objects
            (place,) = sample.notes['sources']
            shares.append(mask.sum() / (SIDES[place].prod() * scale**2))  # holes are closed
        assert min(shares) > 0.45 and 0.95 < max(shares) < 1.1


def test_masks_are_what_is_visible_in_a_crowd():
    """These garments are of one grey, so pixels of another thing in a mask would tell."""
    crowd = replace(SMALL, num_images=20, objects=(6, 9), scales=(1.0, 1.5), distractors=(9, 9))
    cores = 0
    for sample in scenes(crowd):
        for _, mask in sample.objects:
            core = cv2.erode(mask.astype(np.uint8), np.ones((5, 5))) > 0  # edges are blended
            if core.sum() > 100:  # grain has a deviation of 8 at most; a garment has one dark pixel
                assert np.ptp(np.quantile(sample.image[core], (0.1, 0.9))) < 4 * 8
                cores += 1
    assert cores > 20


def test_contrast_varies_and_clippings_have_no_label():
    plain = replace(SMALL, num_images=40, objects=(1, 1), distractors=(0, 0))
    contrasts = []
    for sample in scenes(plain):
        ((_, mask),) = sample.objects
        inside, outside = (sample.image[part].mean() for part in (mask, ~mask))
        contrasts.append(abs(inside - outside))
    least, most = np.quantile(contrasts, (0.1, 0.9))
    assert most > 2 * least > 2 * 30
    lone = replace(SMALL, objects=(0, 0), distractors=(4, 4))
    clippings = [len(sample.notes['sources']) for sample in scenes(lone) if not sample.objects]
    assert len(clippings) == 6 and max(clippings) > 0
