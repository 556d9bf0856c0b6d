"""Images of any kind are drawn neither black nor white."""

from types import SimpleNamespace
from unittest import mock

import mmcv
import numpy as np
import pytest
from mmcv.transforms import Compose, LoadImageFromFile
from mmdet.structures import DetDataSample
from mmengine.visualization import Visualizer

from mmgradaug.engine.hooks import AnyImageVisualizationHook
from mmgradaug.engine.pixels import as_rgb, shown_range

RAMP = np.linspace(0, 255, 60 * 80).reshape(60, 80)


@pytest.mark.parametrize('channels', [None, 1, 2, 3, 6])
@pytest.mark.parametrize(('factor', 'offset', 'kind'), [
    (16, 0, 'uint16'), (200, 5000, 'int32'), (0.01, -1.3, 'float32'), (1 / 255, 0, 'float64'),
])  # fmt: skip
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


@pytest.mark.parametrize(('color_type', 'kind'), [('unchanged', 'uint16'), ('color', 'uint8')])
def test_predictions_are_drawn_on_what_the_pipeline_reads(tmp_path, color_type, kind):
    values = (RAMP * (16 if kind == 'uint16' else 1)).astype(kind)
    mmcv.imwrite(values, str(tmp_path / 'a.png'))
    pipeline = Compose([LoadImageFromFile(color_type=color_type)])
    loader = SimpleNamespace(dataset=SimpleNamespace(pipeline=pipeline))
    runner = SimpleNamespace(val_dataloader=loader, test_dataloader=loader, iter=0)
    Visualizer.get_instance('pixels')
    hook = AnyImageVisualizationHook(draw=True, interval=1)
    hook._visualizer = mock.Mock()
    sample = DetDataSample(metainfo=dict(img_path=str(tmp_path / 'a.png')))
    hook.after_val_iter(runner, 0, {}, [sample])
    hook.after_test_iter(runner, 0, {}, [sample])
    for call in hook._visualizer.add_datasample.call_args_list:
        assert np.abs(call.args[1].astype(float) - RAMP[..., None]).max() < 6
    assert hook._visualizer.add_datasample.call_count == 2
    assert sample.img_path == str(tmp_path / 'a.png')
