from itertools import islice

import pytest

from mmgradaug.engine.loading import endless, load_config


def test_starts_again():
    assert list(islice(endless([1, 2]), 5)) == [1, 2, 1, 2, 1]


def test_empty_loader_is_an_error():
    with pytest.raises(ValueError, match='no batch'):
        next(endless([]))


def test_config_of_another_kind_is_an_error():
    with pytest.raises(SystemExit, match=r"type 'MaskRCNN', expected GradAugDetector"):
        load_config('configs/mask_rcnn_r50_1x.py', None, gradaug=True)
    cfg = load_config('configs/mask_rcnn_r50_1x.py', {'train_dataloader.batch_size': 1})
    assert cfg.train_dataloader.batch_size == 1
