"""Images of any kind are drawn neither black nor white."""

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer
from mmengine.structures import InstanceData

from mmgradaug.engine.hooks import PicturesHook
from mmgradaug.engine.hooks.pictures import whole_palette
from mmgradaug.engine.pixels import as_rgb, shown_range

RAMP = np.linspace(0, 255, 60 * 80).reshape(60, 80)


@pytest.mark.parametrize('channels', [None, 1, 2, 3, 6])
@pytest.mark.parametrize(
    ('factor', 'offset', 'kind'),
    [(16, 0, 'uint16'), (200, 5000, 'int32'), (0.01, -1.3, 'float32'), (1 / 255, 0, 'float64')],
)
def test_values_are_stretched_to_what_is_there(channels, factor, offset, kind):
    image = (RAMP * factor + offset).astype(kind)
    if channels:
        image = np.stack([image] * channels, axis=-1)
    pixels = as_rgb(image)
    assert pixels.shape == (60, 80, 3) and pixels.dtype == np.uint8
    assert np.abs(pixels.astype(float) - RAMP[..., None]).max() < 6


@pytest.mark.parametrize('kind', ['uint8', 'float32', 'uint16'])
def test_eight_bits_stay_as_they_are_in_their_colours(kind):
    image = np.stack([RAMP / 4, RAMP / 2, RAMP], axis=-1).astype('uint8')
    assert np.array_equal(as_rgb(image.astype(kind)), image[..., ::-1])
    assert np.array_equal(as_rgb(image.astype(kind), bgr=False), image)


def test_what_has_no_range_is_drawn():
    assert shown_range(np.array([np.nan, np.inf])) == (0.0, 255.0)
    broken = RAMP * 100
    broken[0] = np.nan
    assert as_rgb(broken)[30, 40].tolist() == pytest.approx([128] * 3, abs=4)
    assert (as_rgb(np.full((4, 5), 7, 'uint16')) == 7).all()
    few = np.zeros((50, 50), 'uint16')
    few[0, :3] = 4000
    assert (as_rgb(few)[0, :3] == 255).all() and not as_rgb(few)[1:].any()


GREEN, RED = (0, 255, 0), (255, 0, 0)


@pytest.mark.parametrize(
    ('palette', 'expected'),
    [
        ([GREEN], [GREEN, None]),
        ([list(GREEN), np.array(RED)], [GREEN, RED]),
        ((GREEN, RED, GREEN), [GREEN, RED]),
        (GREEN, [GREEN, GREEN]),
        ('green', [GREEN, GREEN]),
        ('coco', [(220, 20, 60), (119, 11, 32)]),
        (['#00ff00', RED], [None, RED]),
        ([(0, 999, 0), (1, 2)], [None, None]),
        (None, [None, None]),
        ('no such colour', [None, None]),
        ({'a': GREEN}, [None, None]),
    ],
)
def test_a_palette_is_completed(palette, expected):
    colours = whole_palette({'classes': ('a', 'b'), 'palette': palette})
    assert len(colours) == 2
    for colour, wanted in zip(colours, expected, strict=True):
        assert tuple(colour) == wanted if wanted else len(colour) == 3


class Reading:
    """A data set whose images are six channels of 16 bits."""

    class pipeline:
        transforms = [
            lambda results: {
                **results, 'img': np.stack([16 * RAMP] * 6, axis=-1).astype('uint16')
            }
        ]  # fmt: skip


def test_a_run_draws_what_mmdet_cannot(tmp_path):
    """Six channels, of two classes with one colour; names as usual."""
    visualizer = DetLocalVisualizer.get_instance(
        'pictures', vis_backends=[dict(type='LocalVisBackend')], save_dir=str(tmp_path)
    )
    visualizer.dataset_meta = dict(classes=('a', 'b'), palette=[GREEN])
    hook = PicturesHook(draw=True, interval=2)
    found = InstanceData(
        bboxes=torch.tensor([[10.0, 10, 50, 50]]), labels=torch.tensor([1]), scores=torch.ones(1)
    )
    sample = DetDataSample(metainfo=dict(img_path='data/0001.tif'), pred_instances=found)

    class runner:
        iter, work_dir, timestamp = 4, str(tmp_path), 'now'

        class val_dataloader:
            dataset = Reading

        test_dataloader = val_dataloader

    hook.before_run(runner)
    for index in range(2):
        hook.after_val_iter(runner, index, None, [sample])
    (picture,) = tmp_path.glob('vis_data/vis_image/val_img_*.png')
    drawn = cv2.imread(str(picture))
    assert drawn.shape == (60, 160, 3) and 100 < drawn.mean() < 150
    assert sample.img_path == 'data/0001.tif'
    hook.test_out_dir = 'show'
    hook.after_test_iter(runner, 0, None, [sample])
    assert (tmp_path / 'now/show/0001.tif').is_file()
