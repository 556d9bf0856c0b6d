import random

import pytest
import torch

from mmgradaug.errors import ConfigError
from mmgradaug.transforms import GeometricMap, Mask, RandomMask, RandomScale, build_transform

IMAGES = torch.rand(3, 2, 45, 64, generator=torch.Generator().manual_seed(0)) + 1


@pytest.mark.parametrize(('ratio', 'patch', 'hidden'), [(0.5, 16, 6), (0.3, 16, 4), (0.5, 45, 1)])
def test_whole_patches_are_zero_and_the_rest_is_untouched(ratio, patch, hidden):
    """12 patches of 16 pixels, the lowest 13 high; 2 of 45, the right one 19 wide."""
    masked, _ = Mask(ratio, patch, seed=5)(IMAGES)
    assert torch.equal(masked[masked != 0], IMAGES[masked != 0])
    for image in masked:
        patches = [
            part == 0 for rows in image.split(patch, dim=1) for part in rows.split(patch, dim=2)
        ]
        assert sum(bool(part.all()) for part in patches) == hidden
        assert all(bool(part.all()) == bool(part.any()) for part in patches)


def test_boxes_stay_as_they_are_also_in_chains():
    boxes = torch.tensor([[3.0, 1.0, 40.0, 32.0]])
    mask = dict(type='RandomMask', patch=16)
    _, mapping = build_transform(mask).draw(random.Random(0))(IMAGES)
    assert mapping == GeometricMap((45, 64), (45, 64))
    assert torch.equal(mapping.boxes(boxes), boxes)
    chain = [mask, dict(type='RandomRotate', angles=[90]), dict(type='RandomScale', scales=[2.0])]
    drawn = build_transform(chain).draw(random.Random(0))
    masked, mapping = drawn(IMAGES)
    assert mapping == GeometricMap((45, 64), (128, 90), 1)
    assert 0.3 < (masked == 0).float().mean() < 0.5  # edges are blurred by the scale


def test_a_draw_is_a_number_so_every_process_and_a_resumed_run_mask_alike():
    """Images of a smaller batch have the masks of the first of a larger one."""
    draws = [RandomMask(0.5, 8).draw(random.Random('gradaug-0-7')) for _ in range(2)]
    assert draws[0] == draws[1] == Mask(0.5, 8, 4552744461720414323)
    masked = draws[0](IMAGES)[0]
    assert torch.equal(draws[1](IMAGES[:2])[0], masked[:2])
    assert not torch.equal(masked[0] == 0, masked[1] == 0)
    first = (masked[0, 0, ::8, ::8] == 0).long()
    assert first[0].tolist() == [1, 0, 1, 1, 1, 1, 0, 0]
    generator = random.Random('gradaug-0-7')
    RandomScale([1.0]).draw(generator)
    assert RandomMask().draw(generator) != RandomMask().draw(generator)


@pytest.mark.parametrize(('options', 'words'), [
    (dict(ratio=1.0), r'has ratio=1\.0 and patch=32, expected a share between 0 and 1'),
    (dict(ratio=50), 'ratio=50'), (dict(patch=0), 'patch=0'), (dict(patch=4.5), 'patch=4.5'),
    (dict(share=0.5), 'RandomMask: .*share'),
])  # fmt: skip
def test_bad_options_are_named(options, words):
    with pytest.raises(ConfigError, match=words):
        build_transform(dict(type='RandomMask', **options))
