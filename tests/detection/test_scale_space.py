import pytest
import torch

from mmgradaug.detection.distillation.scale_space import PriorPyramid, same_level_target
from mmgradaug.transforms import GeometricMap
from tests.networks import random_images

STRIDES = [(4, 4), (8, 8), (16, 16), (32, 32), (64, 64)]
PRIORS = PriorPyramid(STRIDES, STRIDES, 0.0)  # anchors of one size a level


def sizes_of(height, width):
    """Height and width of each level's maps for an image of a size."""
    return [(-(-height // stride), -(-width // stride)) for stride, _ in STRIDES]


def pyramid(height, width, function):
    """Maps (2, 3, H, W) a level of a function of x, y in pixels and log2 stride."""
    maps = []
    for level, size in enumerate(sizes_of(height, width)):
        stride = float(STRIDES[level][0])
        y, x = torch.meshgrid(*(torch.arange(n) * stride for n in size), indexing='ij')
        maps.append(function(x, y, level).expand(2, 3, *size))
    return maps


@pytest.mark.parametrize('scale', [0.8, 0.6, 0.4, 1.5])
def test_values_come_from_the_same_place_and_size(scale):
    """Maps linear in x, y and level are read exactly at the mapped place and level."""

    def linear(x, y, level):
        return 0.5 * x - 0.25 * y + 40.0 * level

    height, width = 320, 512
    out = (round(height * scale), round(width * scale))
    mapping = GeometricMap((height, width), out)
    sx, sy = mapping.scale
    zoom = torch.log2(torch.tensor(sx * sy)) / 2
    targets = PRIORS.targets(pyramid(height, width, linear), mapping, sizes_of(*out))
    expected = pyramid(*out, lambda x, y, level: linear(x / sx, y / sy, level - zoom))
    # Near the far border the teacher's coarser grid ends before the student's does.
    inside = pyramid(*out, lambda x, y, _: (x / sx <= width - 64) & (y / sy <= height - 64))
    checked = 0
    for level, target in enumerate(targets):
        if target is None or level - zoom > 4 or level - zoom < 0:
            continue
        found, wanted = target[inside[level]], expected[level][inside[level]]
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-2)
        checked += 1
    assert checked >= 2


def test_levels_just_outside_take_the_nearest():
    teacher = pyramid(256, 256, lambda x, y, level: torch.full_like(x, level))
    mapping = GeometricMap((256, 256), (200, 200))
    target = PRIORS.targets(teacher, mapping, sizes_of(200, 200))[4]
    torch.testing.assert_close(target, torch.full((2, 3, 4, 4), 4.0))


def test_priors_off_the_image_are_left_out():
    maps = pyramid(96, 96, lambda x, y, level: x)  # an image of 77 pixels, padded
    cropped = PRIORS.without_padding(maps, (77, 77))
    assert [m.size(-1) for m in cropped] == [20, 10, 5, 3, 2]


@pytest.mark.parametrize('turns', [0, 1, 2, 3])
def test_the_same_level_turned_is_the_turned_map(turns):
    teacher = random_images(2, 3, 16, 24)
    size = (192, 128) if turns % 2 else (128, 192)
    target = same_level_target(teacher, GeometricMap((128, 192), size, turns))
    assert torch.equal(target, torch.rot90(teacher, turns, (-2, -1)))


def test_the_same_level_at_half_scale_is_the_mean_of_four_cells():
    teacher = random_images(2, 3, 16, 24)
    target = same_level_target(teacher, GeometricMap((128, 192), (64, 96)))
    torch.testing.assert_close(target, torch.nn.functional.avg_pool2d(teacher, 2))


def test_the_same_level_has_cells_on_the_image_only():
    teacher = random_images(1, 2, 16, 16)
    target = same_level_target(teacher, GeometricMap((128, 128), (77, 77)))  # 9.6 cells
    assert target.shape == (1, 2, 10, 10)
