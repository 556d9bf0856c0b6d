"""The picture over widths."""

import numpy as np
import pytest
from PIL import Image

from mmgradaug.evaluation.widths import WidthResult, shown_metrics
from mmgradaug.visualization.canvas import new_figure
from mmgradaug.visualization.widths import _draw_precision, save_widths


def result(width, **metrics):
    return WidthResult(width, metrics, 2e9 * width, 1e9 * width, 10, [0.1 * width, 0.2 * width])


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert('RGB')).astype(int)


def test_every_panel_shows_its_values(tmp_path):
    results = [result(w, **{'coco/bbox_mAP': w / 2, 'coco/segm_mAP': w / 3}) for w in (0.5, 1.0)]
    first = pixels(save_widths(results, tmp_path / 'new' / 'a.png', 'title'))
    height, width = first.shape[:2]
    assert (height, width) == (462, 1320)
    changes = {
        'coco/bbox_mAP': lambda r: r.metrics.update({'coco/bbox_mAP': 0.1}),
        'flops': lambda r: setattr(r, 'flops', 1.5e9),
        'seconds': lambda r: setattr(r, 'seconds', [0.04, 0.09]),
    }
    for panel, change in enumerate(changes.values()):
        other = [result(r.width, **r.metrics) for r in results]
        change(other[0])
        differs = (pixels(save_widths(other, tmp_path / 'b.png', 'title')) != first).any(
            axis=(0, 2)
        )
        columns = np.flatnonzero(differs)
        assert columns.min() >= panel * width / 3 - 20
        assert columns.max() <= (panel + 1) * width / 3 + 20


def test_a_width_without_detections_has_no_precision(tmp_path):
    results = [result(0.5), result(1.0, **{'coco/bbox_mAP': 0.5})]
    assert shown_metrics(results) == ['box AP']
    assert save_widths(results, tmp_path / 'a.png').is_file()


def test_metrics_of_other_evaluators_are_drawn():
    results = [result(w, **{'pascal_voc/mAP': w / 2, 'pascal_voc/AP50': w / 2}) for w in (0.5, 1.0)]
    names = ['pascal_voc/mAP', 'pascal_voc/AP50']
    assert shown_metrics(results) == names
    axes = new_figure(2, 2).subplots()
    _draw_precision(axes, results)
    assert [line.get_label() for line in axes.lines] == names
    assert axes.lines[0].get_ydata().tolist() == [0.25, 0.5]
    assert axes.get_ylabel() == 'metric'


def test_order_does_not_matter(tmp_path):
    results = [result(w) for w in (0.5, 0.8, 1.0)]
    one = pixels(save_widths(results, tmp_path / 'a.png'))
    assert np.array_equal(one, pixels(save_widths(results[::-1], tmp_path / 'b.png')))


def test_nothing_to_draw_is_an_error(tmp_path):
    with pytest.raises(ValueError, match='no width was evaluated'):
        save_widths([], tmp_path / 'a.png')
