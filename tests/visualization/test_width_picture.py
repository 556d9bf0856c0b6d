import numpy as np

from mmgradaug.evaluation.widths import WidthResult, shown_metrics
from mmgradaug.visualization.sweeps import metric_lines, save_widths
from tests.visualization.pictures import pixels_of


def result(width, **metrics):
    return WidthResult(width, metrics, 2e9 * width, 1e9 * width, 10, [0.1 * width, 0.2 * width])


def test_every_panel_shows_its_values_whatever_their_order(tmp_path):
    results = [result(w, **{'coco/bbox_mAP': w / 2, 'coco/segm_mAP': w / 3}) for w in (0.5, 1.0)]
    first = pixels_of(save_widths(results, tmp_path / 'new' / 'a.png', 'title'))
    width = first.shape[1]
    assert np.array_equal(first, pixels_of(save_widths(results[::-1], tmp_path / 'b.png', 'title')))
    changes = [
        lambda r: r.metrics.update({'coco/bbox_mAP': 0.1}),
        lambda r: setattr(r, 'flops', 1.5e9),
        lambda r: setattr(r, 'seconds', [0.04, 0.09]),
    ]
    for panel, change in enumerate(changes):
        other = [result(r.width, **r.metrics) for r in results]
        change(other[0])
        changed = pixels_of(save_widths(other, tmp_path / 'b.png', 'title')) != first
        columns = np.flatnonzero(changed.any(axis=(0, 2)))
        assert columns.min() >= panel * width / 3 - 20
        assert columns.max() <= (panel + 1) * width / 3 + 20


def test_lines_of_the_metrics_that_there_are(tmp_path):
    """A width without detections has no precision; other evaluators have other metrics."""
    results = [result(0.5), result(1.0, **{'coco/bbox_mAP': 0.5})]
    assert shown_metrics(results) == ['box AP']
    assert [list(line.steps) for line in metric_lines(results)] == [[1.0]]
    assert save_widths(results, tmp_path / 'a.png').is_file()
    results = [result(w, **{'pascal_voc/mAP': w / 2, 'pascal_voc/AP50': w / 2}) for w in (0.5, 1.0)]
    lines = metric_lines(results)
    assert [line.label for line in lines] == ['pascal_voc/mAP', 'pascal_voc/AP50']
    assert list(lines[0].values) == [0.25, 0.5]
