"""Each class's first image, and a row of maps for each network."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmgradaug import at_width
from mmgradaug.visualization.classifier_pictures import (
    first_of_each_class,
    maps_of,
    picture_activation_maps,
)
from tests.classification import tiny

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='ToImageTensor'), dict(type='PackImage')]


@pytest.fixture
def cfg(tmp_path):
    root = tiny.make_folders(tmp_path / 'images')
    dataset = dict(type='ClassFolders', data_root=str(root), split='val', pipeline=PIPELINE)
    return Config(dict(val_dataloader=dict(dataset=dataset)))


def test_the_first_image_of_each_class(cfg, tmp_path):
    pixels, labels, names = first_of_each_class(cfg)
    assert (labels.tolist(), list(names)) == ([0, 1, 2], ['a', 'b', 'c'])
    for image, name in zip(pixels, names, strict=True):
        with Image.open(tmp_path / f'images/val/{name}/0.png') as expected:
            assert np.array_equal(image.permute(1, 2, 0), np.asarray(expected))


def test_maps_are_of_the_width_that_is_asked_for(cfg, tmp_path):
    model = tiny.build().eval()
    pixels, labels, _ = first_of_each_class(cfg)
    found = maps_of('narrow', model, pixels, labels, 0.5)
    inputs = model.data_preprocessor({'inputs': pixels})['inputs']
    with torch.no_grad(), at_width(model, 0.5):
        scores = model(inputs).softmax(dim=1)
    assert found.predicted == scores.argmax(dim=1).tolist()
    assert found.scores == pytest.approx(scores.amax(dim=1).tolist())
    assert found.maps.shape == (3, 32, 32)
    assert not np.allclose(found.maps, maps_of('full', model, pixels, labels).maps)
    networks = {'full': (model, 1.0), 'narrow': (model, 0.5)}
    sizes = []
    for rows in (1, 2):
        some = dict(list(networks.items())[:rows])
        path = picture_activation_maps(some, cfg, tmp_path / f'{rows}.png', 'maps')
        with Image.open(path) as picture:
            sizes.append(picture.size)
    assert sizes[0][0] == sizes[1][0] and sizes[0][1] < sizes[1][1]
