import pytest

from mmgradaug.engine.run_log import Scalars
from mmgradaug.visualization.canvas import new_figure
from mmgradaug.visualization.curves import (
    Line,
    draw_lines,
    loss_lines,
    precision_lines,
)


def log(gradaug=False):
    """Two epochs as mmengine logs them."""
    entries = []
    for step in range(1, 7):
        entry = {'lr': 0.02, 'loss': 6.0 / step, 'step': step, 'epoch': 1}
        if gradaug:
            entry |= {'full/loss': 2.0 / step, 'subnet1/loss': 4.0 / step}
        entries.append(entry)
    for epoch in (1, 2):
        entries.append({'coco/bbox_mAP': 0.2 * epoch, 'coco/segm_mAP': 0.3 * epoch, 'step': epoch})
    return Scalars.of(entries)


@pytest.mark.parametrize(('gradaug', 'names'), [
    (False, ['full network']), (True, ['sum of all passes', 'full network', 'sub-network 1']),
])  # fmt: skip
def test_each_pass_has_a_line(gradaug, names):
    lines = loss_lines(log(gradaug))
    assert [line.label for line in lines] == names
    assert lines[-1].values == [(4.0 if gradaug else 6.0) / step for step in range(1, 7)]
    box, mask = precision_lines(log())
    assert (box.label, mask.label) == ('box AP, last 0.400', 'mask AP, last 0.600')
    assert (box.steps, mask.values) == ([1, 2], [0.3, 0.6])


def test_precision_is_seen_and_legends_hide_no_curve(tmp_path):
    """Labels are no formulas, and NaN is no reason to fail."""
    lines = [Line(name, [1, 2, 3], [0.5, 0.6, float('nan')], 'red') for name in ('$x_1$', 'b')]
    for from_zero, limits in ((True, (0, 0.648)), (False, (0.492, 0.608))):
        figure = new_figure(4, 3)
        axes = figure.subplots()
        draw_lines(axes, lines, 'A $ P', 'epoch', from_zero)
        figure.savefig(tmp_path / 'a.png')
        assert axes.get_ylim() == pytest.approx(limits)
        legend, plot = axes.get_legend().get_window_extent(), axes.get_tightbbox(for_layout_only=1)
        assert legend.y1 <= axes.xaxis.label.get_window_extent().y0 < plot.y1
        assert legend.y0 >= 0
