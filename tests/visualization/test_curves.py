import pytest

from mmgradaug.visualization.canvas import new_figure
from mmgradaug.visualization.curves import Line, draw_lines


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
