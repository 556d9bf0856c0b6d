import random

import pytest
import torch

from mmgradaug.errors import ConfigError
from mmgradaug.transforms import GeometricMap, Mask, RandomMask, build_transform

IMAGES = torch.rand(3, 2, 45, 64, generator=torch.Generator().manual_seed(0)) + 1


@pytest.mark.parametrize(('ratio', 'patch', 'hidden'), [(0.5, 16, 6), (0.3, 16, 4), (0.5, 45, 1)])
def test_whole_patches_are_zero_and_the_rest_is_untouched(ratio, patch, hidden):
    """12 patches of 16 pixels, the lowest 13 high; 2 of 45, the right one 19 wide."""
    masked, _ = Mask(ratio, patch, seed=5)(IMAGES)
    assert torch.equal(masked[masked != 0], IMAGES[masked != 0])
    for rows in (masked == 0).split(patch, dim=2):
        parts = [part.flatten(1) for part in rows.split(patch, dim=3)]
        assert all(torch.equal(part.all(1), part.any(1)) for part in parts)
    corners = (masked[:, 0, ::patch, ::patch] == 0).flatten(1)
    assert corners.sum(dim=1).tolist() == [hidden] * 3


def test_something_of_each_image_is_left():
    assert torch.equal(Mask(0.9, 64, seed=5)(IMAGES)[0], IMAGES)
    masked = Mask(0.9, 32, seed=5)(IMAGES)[0]  # of four patches
    assert (masked[:, 0, ::32, ::32] != 0).flatten(1).sum(dim=1).tolist() == [1] * 3


def test_boxes_stay_as_they_are_also_in_chains():
    mask = dict(type='RandomMask', patch=16)
    _, mapping = build_transform(mask).draw(random.Random(0))(IMAGES)
    assert mapping == GeometricMap((45, 64), (45, 64))
    chain = [mask, dict(type='RandomRotate', angles=[90]), dict(type='RandomScale', scales=[2.0])]
    masked, mapping = build_transform(chain).draw(random.Random(0))(IMAGES)
    assert mapping == GeometricMap((45, 64), (128, 90), 1)
    assert 0.3 < (masked == 0).float().mean() < 0.5  # edges are blurred by the scale


def test_a_draw_is_a_number_so_every_process_and_a_resumed_run_mask_alike():
    """Images of a smaller batch have the masks of the first of a larger one."""
    draw = RandomMask(0.5, 8).draw(random.Random('gradaug-0-7'))
    assert draw == Mask(0.5, 8, 4552744461720414323)
    masked = draw(IMAGES)[0]
    assert torch.equal(draw(IMAGES[:2])[0], masked[:2])
    assert (masked[0, 0, 0, ::8] == 0).long().tolist() == [1, 0, 1, 1, 1, 1, 0, 0]
    assert not torch.equal(masked[0] == 0, masked[1] == 0)


@pytest.mark.parametrize('options', [dict(ratio=1.0), dict(ratio=50), dict(patch=0)])
def test_bad_options_are_named(options):
    with pytest.raises(ConfigError, match=r'has ratio=.* and patch=.*, expected a share between 0'):
        RandomMask(**options)
