import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmgradaug import at_width
from mmgradaug.visualization.activation_maps import (
    RIGHT,
    WRONG,
    first_of_each_class,
    maps_of,
    save_activation_maps,
)
from tests.classification import tiny
from tests.visualization.pictures import count_pixels, pixels_of

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='ToImageTensor'), dict(type='PackImage')]


@pytest.fixture
def cfg(tmp_path):
    root = tiny.make_folders(tmp_path / 'images')
    dataset = dict(type='ClassFolders', data_root=str(root), split='val', pipeline=PIPELINE)
    return Config(dict(val_dataloader=dict(dataset=dataset)))


def test_the_first_image_of_each_class(cfg, tmp_path):
    pixels, names = first_of_each_class(cfg)
    assert list(names) == ['a', 'b', 'c']
    for image, name in zip(pixels, names, strict=True):
        with Image.open(tmp_path / f'images/val/{name}/0.png') as expected:
            assert np.array_equal(image.permute(1, 2, 0), np.asarray(expected))


def test_maps_are_of_the_width_that_is_asked_for(cfg):
    model = tiny.build().eval()
    pixels, _ = first_of_each_class(cfg)
    maps, predicted, probabilities = maps_of(model, pixels, 0.5)
    inputs = model.data_preprocessor({'inputs': pixels})['inputs']
    with torch.no_grad(), at_width(model, 0.5):
        scores = model(inputs).softmax(dim=1)
    assert predicted.tolist() == scores.argmax(dim=1).tolist()
    assert probabilities == pytest.approx(scores.amax(dim=1).numpy())
    assert maps.shape == (3, 32, 32)
    assert not np.allclose(maps, maps_of(model, pixels)[0])


def test_each_network_has_a_row_and_wrong_predictions_a_colour(cfg, tmp_path):
    model = tiny.build().eval()
    shapes = []
    for bias in (0.0, 99.0):  # with the second, the first class is predicted throughout
        model.fc.bias.data[0] += bias
        networks = dict.fromkeys(('one', 'two')[: 1 + bool(bias)], (model, 1.0))
        pixels = pixels_of(save_activation_maps(networks, cfg, tmp_path / 'maps.png', 'maps'))
        shapes.append(pixels.shape)
    assert shapes[0][1] == shapes[1][1] and shapes[0][0] < shapes[1][0]
    assert count_pixels(pixels, WRONG, 25) > count_pixels(pixels, RIGHT, 25) > 0
