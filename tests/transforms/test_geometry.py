import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from torchvision.ops import masks_to_boxes

from mmgradaug.errors import ConfigError
from mmgradaug.transforms import (
    DrawnChain,
    GeometricMap,
    RandomRotate,
    RandomScale,
    Rotate,
    Scale,
    build_transform,
)
from tests.networks import random_images

TURNS = st.integers(0, 3)
SIZES = st.tuples(st.integers(2, 40), st.integers(2, 40))


@pytest.mark.parametrize('turns', range(4))
@pytest.mark.parametrize('factor', [1, 2, 3])
def test_a_mapped_box_covers_the_same_pixels(turns, factor):
    image = torch.zeros(1, 1, 8, 12)
    image[..., 1:4, 3:9] = 1
    moved, mapping = DrawnChain((Rotate(turns), Scale(factor)))(image)
    found = masks_to_boxes(moved[0] > 0.5) + torch.tensor([0, 0, 1, 1])  # to the last pixels' ends
    assert torch.equal(mapping.boxes(torch.tensor([[3.0, 1.0, 9.0, 4.0]])), found)


def test_scale_uses_the_real_ratios_of_rounded_sizes():
    image, mapping = Scale(0.6)(random_images(1, 3, 33, 47))
    assert image.shape[-2:] == (20, 28)
    assert mapping.scale == (28 / 47, 20 / 33)
    box = mapping.boxes(torch.tensor([0.0, 0.0, 47.0, 33.0]))
    torch.testing.assert_close(box, torch.tensor([0.0, 0.0, 28.0, 20.0]))


@given(size=SIZES, out_size=SIZES, turns=TURNS)
def test_source_points_are_the_inverse(size, out_size, turns):
    mapping = GeometricMap(size, out_size, turns)
    points = torch.rand(7, 2, dtype=torch.float64) * torch.tensor([size[1], size[0]])
    there = mapping.boxes(torch.cat([points, points], 1))[:, :2]
    torch.testing.assert_close(mapping.source_points(there), points)


@given(
    size=SIZES, first=TURNS, second=TURNS, factors=st.tuples(st.floats(0.3, 2), st.floats(0.3, 2))
)
def test_a_chain_is_one_map(size, first, second, factors):
    images = torch.zeros(1, 1, *size)
    steps = (Rotate(first), Scale(factors[0]), Rotate(second), Scale(factors[1]))
    boxes = torch.rand(5, 4, dtype=torch.float64).sort(dim=1).values * min(size)
    expected, current = boxes, images
    for step in steps:
        current, mapping = step(current)
        expected = mapping.boxes(expected)
    out, mapping = DrawnChain(steps)(images)
    assert out.shape == current.shape
    torch.testing.assert_close(mapping.boxes(boxes), expected)


@pytest.mark.parametrize('turns', range(4))
def test_deltas_and_boxes_move_alike(turns):
    """Decoding moved deltas on moved boxes gives the moved decoded boxes."""
    coder = DeltaXYWHBBoxCoder(target_stds=(0.1, 0.1, 0.2, 0.2), clip_border=False)
    boxes = torch.tensor([[10.0, 20.0, 50.0, 90.0], [0.0, 5.0, 31.0, 17.0]])
    deltas = random_images(2, 4)
    mapping = GeometricMap((100, 120), (77, 64) if turns % 2 else (64, 77), turns)
    moved = coder.decode(mapping.boxes(boxes), mapping.deltas(deltas))
    torch.testing.assert_close(
        moved, mapping.boxes(coder.decode(boxes, deltas)), rtol=1e-4, atol=1e-3
    )


@pytest.mark.parametrize('turns', range(4))
def test_grids_turn_as_images_do(turns):
    image = random_images(2, 3, 8, 8)
    assert torch.equal(Rotate(turns)(image)[0], GeometricMap((8, 8), (8, 8), turns).grids(image))


def test_scale_one_is_the_same_tensor():
    images = random_images(1, 3, 9, 7)
    out, mapping = Scale(1.0)(images)
    assert out is images
    assert mapping == GeometricMap((9, 7), (9, 7))


@pytest.mark.parametrize('scales', [[], 0.5, [0], [-1.0], [float('nan')], [0.049], [1.0, 50]])
def test_bad_scales_are_named(scales):
    with pytest.raises(ConfigError, match=r'scales must be factors .* from 0\.05 to 4\.0, got'):
        RandomScale(scales)
    assert RandomScale([0.05, 4]).scales == [0.05, 4.0]


def test_angles_are_quarter_turns():
    with pytest.raises(ValueError, match='multiples of 90'):
        RandomRotate([45])
    generator = random.Random(0)
    assert {RandomRotate().draw(generator).turns for _ in range(50)} == {0, 1, 2, 3}
    assert RandomRotate([90.0]).draw(generator) == Rotate(1)


def test_configs_build_chains():
    chain = build_transform([dict(type='RandomRotate'), dict(type='RandomScale', scales=[0.5])])
    assert [type(t).__name__ for t in chain.transforms] == ['RandomRotate', 'RandomScale']
    assert build_transform(None).draw(None).transforms == ()
    with pytest.raises(ValueError, match="type 'RandomShear', expected one of"):
        build_transform(dict(type='RandomShear'))
    with pytest.raises(ConfigError, match='must be a dict'):
        build_transform(3)


@pytest.mark.parametrize('turns', [0, 1, 2, 3])
def test_sides_turn_with_their_box(turns):
    """Distances from a point to the sides of a box, and of its turned copy."""
    mapping = GeometricMap((20, 30), (30, 20) if turns % 2 else (20, 30), turns)
    box, point = torch.tensor([3.0, 2.0, 17.0, 11.0]), torch.tensor([5.0, 9.0, 5.0, 9.0])
    signs = torch.tensor([-1.0, -1.0, 1.0, 1.0])
    sides = (box - point) * signs
    turned = (mapping.boxes(box) - mapping.boxes(point)) * signs
    assert torch.equal(mapping.sides(sides, dim=0), turned)


def test_aligned_corners_stay_where_they_are():
    images = random_images(1, 3, 16, 16)
    small, mapping = RandomScale([0.5], align_corners=True).draw(random.Random(0))(images)
    assert mapping.scale == (0.5, 0.5)
    for row in (0, -1):
        for column in (0, -1):
            torch.testing.assert_close(small[..., row, column], images[..., row, column])
    assert not torch.allclose(small[..., 0, 0], Scale(0.5)(images)[0][..., 0, 0])
