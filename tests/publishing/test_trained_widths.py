"""Widths that a run never trained."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mmgradaug.publishing import Source, warn_untrained
from mmgradaug.publishing.trained_widths import why_untrained

DETECTOR = dict(type='mmgradaug.GradAugDetector', detector='MaskRCNN')


@pytest.mark.parametrize(
    ('model', 'width', 'reason'),
    [
        (DETECTOR, 0.9, None),  # the default
        (DETECTOR, 0.89, 'width 0.89 is below gradaug.min_width=0.9 of the run: it was never'),
        (dict(DETECTOR, gradaug=dict(min_width=0.8, distill=None)), 0.8, None),
        (dict(DETECTOR, gradaug=dict(min_width=0.8)), 0.3, 'is below gradaug.min_width=0.8 of'),
        (dict(DETECTOR, gradaug=dict(num_subnets=0)), 0.95, 'trained the full network alone'),
        (dict(DETECTOR, gradaug=dict(num_subnets=0)), 1.0, None),
        (dict(type='GradAugClassifier', gradaug=dict(shrink='depth')), 0.95, "shrink='depth'"),
        (dict(type='Classifier'), 0.95, 'trained the full network alone'),
        (dict(type='Classifier'), 1.0, None),
    ],
)
def test_why(model, width, reason):
    told = why_untrained(model, width)
    assert told is None if reason is None else reason in told


def test_the_warning(capsys):
    cfg = Config(dict(model=dict(DETECTOR, gradaug=dict(min_width=0.8))))
    source = Source(Path('a.pth'), {}, {}, cfg)
    assert warn_untrained(source, [1.0, 0.8, 0.3]) == [0.3]
    expected = 'warning: width 0.3 is below gradaug.min_width=0.8 of the run: it was never trained'
    assert capsys.readouterr().err == f'{expected}\n'
    for unknown in (
        Source(Path('a.pth'), {}, {}, None),
        Source(Path('a'), {}, {}, cfg, layout='x'),
    ):
        assert warn_untrained(unknown, [0.3]) == []
    assert capsys.readouterr().err == ''
