"""What sub-networks see is drawn with the right pixels, labels and captions."""

import random

import numpy as np
import pytest
import torch
from mmdet.models import DetDataPreprocessor

from mmgradaug.engine.pixels import as_rgb
from mmgradaug.training import GradAugMixin, Subnet
from mmgradaug.transforms import RandomScale
from mmgradaug.visualization import subnets
from tests.networks import batch
from tests.visualization import pictures

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class Model(GradAugMixin):
    data_preprocessor = DetDataPreprocessor()


@pytest.mark.parametrize('options', [dict(), dict(mean=MEAN, std=STD)])
@pytest.mark.parametrize('swapped', [dict(), dict(bgr_to_rgb=True), dict(rgb_to_bgr=True)])
def test_loaded_pixels_come_back_in_their_colours(options, swapped):
    """A red pixel, as mmcv loads it, through the preprocessor and back."""
    preprocessor = DetDataPreprocessor(**options, **swapped)
    loaded = torch.tensor([0, 0, 255]).view(3, 1, 1).byte()  # blue, green, red
    (image,) = preprocessor(dict(inputs=[loaded], data_samples=None))['inputs']
    pixels = as_rgb(subnets.loaded_values(image, preprocessor), bgr=not swapped)
    assert pixels.tolist() == [[[255, 0, 0]]]


@pytest.mark.parametrize('channels', [1, 4])
def test_images_of_other_channels_are_grey(channels):
    image = torch.tensor([9.0, 8, 7, 600])[-channels:].view(-1, 1, 1).expand(-1, 4, 5)
    pixels = as_rgb(subnets.loaded_values(image, DetDataPreprocessor()))
    assert pixels.shape == (4, 5, 3)
    assert (pixels == (255 if channels == 1 else 9)).all()


def test_views_hold_moved_labels_masks_and_ignored_regions():
    (sample,) = batch((3,), size=64)['data_samples']
    instances = sample.gt_instances
    sample.ignored_instances, sample.gt_instances = instances[:1], instances[1:]
    data = {'inputs': torch.zeros(1, 3, 64, 64), 'data_samples': [sample]}
    subnet = Subnet(0.9, RandomScale([0.5]).draw(random.Random(0)))
    full, view = subnets.views_of(Model(), data, [subnet], 0)
    assert (full.width, view.width, view.scale) == (1.0, 0.9, (0.5, 0.5))
    assert full.pixels.shape == (64, 64, 3) and view.pixels.shape == (32, 32, 3)
    assert view.labels.gt_instances.masks.height == 32
    before, after = (v.labels.gt_instances.bboxes for v in (full, view))
    assert torch.allclose(torch.as_tensor(after), 0.5 * torch.as_tensor(before))
    assert full.caption == 'full network: width 1, scale 1\n64 x 64 px, 2 labels, 1 ignored'
    assert view.caption.startswith('sub-network 1: width 0.9, scale 0.5\n32 x 32 px')


def test_captions():
    pixels = np.zeros((36, 48, 3), np.uint8)
    view = subnets.SubnetView('sub-network 1', pixels, 0.8, 0.5, (0.75, 0.5))
    assert view.caption == 'sub-network 1: width 0.8, depth 0.5, scale 0.75 x 0.5\n48 x 36 px'
    names = ('ant', 'bee', 'cat')
    assert subnets.classes_of(torch.tensor(1), names) == 'bee'
    assert subnets.classes_of(torch.tensor([0.25, 0.0, 0.75]), names) == '75% cat, 25% ant'


def test_a_smaller_image_looks_smaller(tmp_path):
    def red(size):
        return subnets.SubnetView('a', np.full((size, size, 3), (255, 0, 0), np.uint8))

    counts, sizes = [], []
    for number, views in enumerate([[red(64), red(64)], [red(64), red(32)], [red(64)] * 5]):
        pixels = pictures.pixels_of(subnets.save_subnets(views, tmp_path / f'{number}.png', []))
        counts.append(pictures.count_pixels(pixels, '#ff0000'))
        sizes.append(pixels.shape[:2])
    assert counts[1] == pytest.approx(0.625 * counts[0], rel=0.03)
    assert sizes[0] == sizes[1]
    assert sizes[2][0] > 1.8 * sizes[0][0], 'two rows'
