"""What sub-networks saw is drawn with the right pixels, boxes and captions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from PIL import Image

from mmgradaug.visualization.canvas import BACKGROUND_COLOUR, colour_of
from mmgradaug.visualization.subnets import SubnetView, caption, denormalize, save_subnets

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def make_view(size: int = 64, labels: bool = True) -> SubnetView:
    """A black image with an object's and a background's box."""
    black = -torch.tensor(MEAN) / torch.tensor(STD)
    return SubnetView(
        image=black.view(3, 1, 1).expand(3, size, size),
        boxes=torch.tensor([[0.25, 0.25, 0.75, 0.75], [0.1, 0.1, 0.9, 0.9]]) * size,
        labels=torch.tensor([0, -1]) if labels else None,
        width=0.8,
        scale=(size / 64, size / 64),
        title='sub-network 1',
    )


def count_pixels(path: Path, colour: str) -> int:
    """Pixels of the picture within 2 grey levels of a colour."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert('RGB')).astype(int)
    wanted = np.rint(255 * np.asarray(to_rgb(colour)))
    return int((np.abs(pixels - wanted).max(axis=2) <= 2).sum())


def test_denormalize_undoes_the_preprocessor() -> None:
    pixels = torch.randint(0, 256, (3, 5, 7))
    normalised = (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    assert np.array_equal(denormalize(normalised, MEAN, STD), pixels.permute(1, 2, 0).numpy())
    assert denormalize(torch.full((3, 1, 1), 99.0), MEAN, STD).tolist() == [[[255, 255, 255]]]


@pytest.mark.parametrize(
    ('channels', 'shown'), [(1, [9, 9, 9]), (2, [9, 8, 0]), (3, [9, 8, 7]), (4, [9, 8, 7])]
)
def test_images_of_other_channels_are_shown(
    tmp_path: Path, channels: int, shown: list[int]
) -> None:
    image = torch.tensor([9.0, 8, 7, 6])[:channels].view(-1, 1, 1).expand(-1, 4, 5)
    pixels = denormalize(image, torch.zeros(1), torch.ones(1))
    assert pixels.shape == (4, 5, 3)
    assert (pixels == shown).all()
    view = replace(make_view(), image=image)
    save_subnets([view], tmp_path / 'a.png', torch.zeros(1), torch.ones(1))


def test_caption_says_width_scale_size_and_boxes() -> None:
    assert caption(make_view(48)) == ('sub-network 1: width 0.8, scale 0.75\n48 x 48 px, 2 boxes')
    assert 'scale 0.75 x 0.5' in caption(replace(make_view(), scale=(0.75, 0.5)))


def test_boxes_are_drawn_in_their_colours(tmp_path: Path) -> None:
    path = save_subnets([make_view()], tmp_path / 'a.png', MEAN, STD, title='iteration 1')
    assert count_pixels(path, colour_of(0)) > 100
    assert count_pixels(path, BACKGROUND_COLOUR) > 100
    path = save_subnets([make_view(labels=False)], tmp_path / 'b.png', MEAN, STD)
    assert count_pixels(path, BACKGROUND_COLOUR) < 100 < count_pixels(path, colour_of(0))


def test_a_smaller_image_looks_smaller(tmp_path: Path) -> None:
    views = [make_view(64), make_view(32)]
    true_size = save_subnets(views, tmp_path / 'a.png', MEAN, STD)
    stretched = save_subnets(views, tmp_path / 'b.png', MEAN, STD, same_scale=False)
    black = [count_pixels(path, '#000000') for path in (true_size, stretched)]
    assert black[0] < 0.75 * black[1]


@pytest.mark.parametrize(('passes', 'columns', 'height'), [(1, 1, 451), (4, 4, 451), (5, 3, 858)])
def test_size_follows_the_number_of_passes(
    tmp_path: Path, passes: int, columns: int, height: int
) -> None:
    path = save_subnets([make_view()] * passes, tmp_path / 'a.png', MEAN, STD)
    with Image.open(path) as picture:
        assert picture.size == (374 * columns, height)


def test_bgr_models_are_shown_in_true_colours(tmp_path: Path) -> None:
    blue_first = torch.zeros(3, 8, 8)
    blue_first[0] = 255
    view = SubnetView(blue_first, torch.zeros(0, 4))
    path = save_subnets([view], tmp_path / 'a.png', (0, 0, 0), (1, 1, 1), bgr=True)
    assert count_pixels(path, '#0000ff') > 1000 > count_pixels(path, '#ff0000')


def test_wrong_shapes_are_refused_by_name(tmp_path: Path) -> None:
    view = make_view()
    wrong = [
        (replace(view, image=torch.zeros(2, 3, 8, 8)), r'\(C, H, W\)'),
        (replace(view, boxes=torch.zeros(2, 5)), r'\(N, 4\)'),
        (replace(view, labels=torch.zeros(3)), '3 labels for 2 boxes'),
    ]
    for bad, words in wrong:
        with pytest.raises(ValueError, match=words):
            save_subnets([bad], tmp_path / 'a.png', MEAN, STD)
    with pytest.raises(ValueError, match='at least one'):
        save_subnets([], tmp_path / 'a.png', MEAN, STD)
