import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmgradaug import at_width
from mmgradaug.visualization.class_activation import (
    RIGHT,
    WRONG,
    class_activation_maps,
    save_activation_maps,
    smooth_activation_maps,
)
from tests.classification.tiny import LOAD, build, make_folders
from tests.visualization.pictures import count_pixels, pixels_of

CLASSES = torch.tensor([2, 0])


@pytest.mark.parametrize('width', [1.0, 0.6])
def test_the_mean_of_a_map_is_the_logit(width):
    model = build().eval()
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad(), at_width(model, width):
        maps = class_activation_maps(model, images, CLASSES)
        logits = model(images)
    assert maps.shape == (2, 2, 3)
    torch.testing.assert_close(maps.mean((1, 2)), logits[[0, 1], CLASSES])
    assert maps.std((1, 2)).min() > 1e-4


def test_shifted_maps_are_put_back_in_place():
    """Of a network that sees single pixels, the average over shifts is the map itself."""
    model = build()
    model.extract_feat = lambda images: images
    model.fc.weight.data = torch.eye(3)
    images = torch.randn(2, 3, 12, 20)
    with torch.no_grad():
        found = smooth_activation_maps(model, images, CLASSES)
    torch.testing.assert_close(found, images[[0, 1], CLASSES] + model.fc.bias[CLASSES, None, None])


def test_each_network_has_a_row_of_its_width_and_wrong_predictions_a_colour(tmp_path):
    root = str(make_folders(tmp_path / 'images'))
    dataset = dict(type='ClassFolders', data_root=root, split='val', pipeline=LOAD)
    cfg = Config(dict(val_dataloader=dict(dataset=dataset)))
    model = build().eval()

    def picture(**networks):
        return pixels_of(save_activation_maps(networks, cfg, tmp_path / 'maps.png', 'maps'))

    one, other = picture(a=(model, 1.0)), picture(a=(model, 0.5))
    assert one.shape == other.shape
    rows = np.flatnonzero((one != other).any(axis=(1, 2)))
    assert rows.min() > len(one) / 2, 'the images are the same'
    file = next((tmp_path / 'images/val/b').iterdir())
    cfg.val_dataloader.dataset.data_root = 'none'  # files need no data set
    model.dataset_meta = {}
    of_file = save_activation_maps({'a': (model, 1.0)}, cfg, tmp_path / 'f.png', files=[file])
    assert pixels_of(of_file)[-100:].std() > 10
    assert count_pixels(pixels_of(of_file), WRONG, 25) == 0  # since nobody knows what is right
    cfg.val_dataloader.dataset.data_root = root
    model.fc.bias.data[0] += 99  # the first class is predicted throughout
    pixels = picture(a=(model, 1.0), b=(model, 1.0))
    assert pixels.shape[1] == one.shape[1] and pixels.shape[0] > one.shape[0]
    assert count_pixels(pixels, WRONG, 25) > count_pixels(pixels, RIGHT, 25) > 0
