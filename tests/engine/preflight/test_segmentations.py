"""Polygons and run-length codes that would stop a run."""

import math

import pytest
from pycocotools.coco import COCO

from tests.engine.preflight.checking import check, fails, first


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
