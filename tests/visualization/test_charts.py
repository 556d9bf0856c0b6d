"""Charts of values: over epochs, widths and options of training."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from mmgradaug.errors import ConfigError
from mmgradaug.evaluation.widths import WidthResult, shown_metrics
from mmgradaug.reproduction.rows import SweptRun, read_sweep
from mmgradaug.visualization.canvas import new_figure
from mmgradaug.visualization.curves import Line, draw_lines
from mmgradaug.visualization.sweeps import metric_lines, save_sweep, save_widths
from tests.visualization.pictures import pixels_of


def test_precision_is_seen_and_legends_hide_no_curve(tmp_path):
    """Labels are no formulas, and NaN is no reason to fail."""
    lines = [Line(name, [1, 2, 3], [0.5, 0.6, float('nan')], 'red') for name in ('$x_1$', 'b')]
    for from_zero, limits in ((True, (0, 0.648)), (False, (0.492, 0.608))):
        figure = new_figure(4, 3, '60% $1, 40% $5')
        axes = figure.subplots()
        draw_lines(axes, lines, 'A $ P', 'epoch', from_zero)
        figure.savefig(tmp_path / 'a.png')
        assert axes.get_ylim() == pytest.approx(limits)
        legend, plot = axes.get_legend().get_window_extent(), axes.get_tightbbox(for_layout_only=1)
        assert legend.y1 <= axes.xaxis.label.get_window_extent().y0 < plot.y1
        assert legend.y0 >= 0


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


FOLDER = 'configs/classification/wrn28-10_cifar100'
SWEPT = {'n2': 'model.gradaug.num_subnets=2', 'width': 'model.gradaug.min_width=0.5', 'n3': ''}
ROWS = [SimpleNamespace(id='plain', config=f'{FOLDER}.py', options='', metrics='top1')]
ROWS += [SimpleNamespace(id=i, config=f'{FOLDER}_gradaug.py', options=options, metrics='top1 top5')
         for i, options in SWEPT.items()]  # fmt: skip


def record(name, value, seconds=10, seed=0, options=()):
    final = dict(top1=value)
    return dict(id=name, seed=seed, options=options, step_seconds=seconds, final=final)


def test_runs_are_sorted_by_what_was_swept():
    """A training that two rows or versions share counts once; users' options as those of rows."""
    plain = [record('other', 1), record('plain', 60, 5)]
    with pytest.raises(ConfigError, match='no record of these rows has sub-networks'):
        read_sweep(ROWS, plain)
    records = [record('n2', 70), record('n2', 71, 30, seed=1), record('n3', 9), record('n3', 72)]
    records += [record('n3', 1, options=['train_cfg.max_epochs=1'])]
    records += [record('n3', 73, options=['model.gradaug.num_subnets=4']), record('width', 69)]
    assert read_sweep(ROWS, records + plain) == [
        (2, 0.8, 70, 10), (2, 0.8, 71, 30), (3, 0.8, 72, 10), (4, 0.8, 73, 10), (3, 0.5, 69, 10),
        (0, 1.0, 60, 5),
    ]  # fmt: skip


def test_points_are_at_the_means_with_what_they_cost(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr('matplotlib.axes.Axes.annotate', lambda _, *a, **k: drawn.append(a[:2]))
    runs = [(1, 0.8, 70, 20), (1, 0.8, 72, 40), (3, 0.8, 75, 45), (3, 0.5, 74, 60)]
    runs, plain = [SweptRun(*run) for run in runs], SweptRun(0, 1.0, 69, 15)
    save_sweep(runs, tmp_path / 'sweep.png', 'top1')
    older = SweptRun(0, 1.0, 69, math.nan)  # no time of its steps is recorded
    assert drawn == [('', (1, 71)), ('', (3, 75)), ('', (0.5, 74)), ('', (0.8, 75))]
    save_sweep([*runs, older], tmp_path / 'sweep.png', 'top1')
    assert drawn[4:] == [('', (0, 69)), *drawn[:4]]
    drawn.clear()
    assert save_sweep([*runs, plain], tmp_path / 'a.png', 'top1').is_file()
    assert drawn[:3] == [('1.00 x', (0, 69)), ('2.00 x', (1, 71)), ('3.00 x', (3, 75))]
    told = [('plain', (1, 69)), ('n=1, 0.8', (2, 71)), ('n=3, 0.8', (3, 75)), ('n=3, 0.5', (4, 74))]
    assert drawn[-4:] == told
