import pytest
import torch
from mmdet.models import DetDataPreprocessor
from mmengine.registry import TRANSFORMS

from mmgradaug.visualization.colours import network_sees_bgr, statistics_of
from mmgradaug.visualization.subnets import denormalize

LOADER = dict(type='LoadImageFromFile')


@TRANSFORMS.register_module(force=True)
class TurnToRGB:
    """A user's own transform."""


def test_statistics_of_preprocessors():
    mean, std = statistics_of(DetDataPreprocessor(mean=[1, 2, 3], std=[4, 5, 6]))
    assert mean.tolist() == [1, 2, 3]
    assert std.tolist() == [4, 5, 6]
    identity = statistics_of(DetDataPreprocessor())
    pixels = torch.randint(0, 256, (3, 4, 5))
    assert torch.equal(
        torch.as_tensor(denormalize(pixels.float(), *identity)), pixels.permute(1, 2, 0).byte()
    )


@pytest.mark.parametrize(
    ('options', 'own', 'bgr'),
    [
        (dict(), False, True),
        (dict(bgr_to_rgb=True), False, False),
        (dict(rgb_to_bgr=True), False, False),  # the loader's BGR, swapped under a wrong name
        (dict(rgb_to_bgr=True), True, True),
        (dict(bgr_to_rgb=True), True, False),
    ],
)
def test_order_of_channels(options, own, bgr):
    pipeline = [LOADER, dict(type='TurnToRGB')] if own else [LOADER]
    dataset = dict(type='RepeatDataset', dataset=dict(type='CocoDataset', pipeline=pipeline))
    assert network_sees_bgr(options, dataset) == bgr
    assert network_sees_bgr(options, dict(type='ConcatDataset', datasets=[dataset])) == bgr


@pytest.mark.parametrize(
    'options', [dict(), dict(bgr_to_rgb=True), dict(rgb_to_bgr=True), dict(mean=None, std=None)]
)
def test_loaded_pixels_come_back_in_their_colours(options):
    """A red pixel, as mmcv loads it, through the preprocessor and back."""
    normalisation = dict(mean=[10.0, 20.0, 30.0], std=[1.0, 2.0, 3.0])
    preprocessor = DetDataPreprocessor(**{**normalisation, **options})
    loaded = torch.tensor([0, 0, 255]).view(3, 1, 1).byte()  # blue, green, red
    images = preprocessor(dict(inputs=[loaded], data_samples=None))['inputs']
    shown = denormalize(images[0], *statistics_of(preprocessor))[0, 0].tolist()
    bgr = network_sees_bgr(options, dict(pipeline=[LOADER]))
    assert (shown[::-1] if bgr else shown) == [255, 0, 0]
