"""What is read from a checkpoint: weights, averaged or trained, and the widths of its run."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmgradaug.publishing import Source, open_source, untrained_widths

DETECTOR = dict(type='mmgradaug.GradAugDetector', detector='MaskRCNN')


def test_weights_are_the_validated_ones_unless_asked_otherwise(tmp_path):
    averaged, last, mean = torch.tensor(1.0), torch.tensor(2.0), torch.tensor(3.0)
    checkpoint = {
        'state_dict': {'w': averaged, 'bn.running_mean': mean},
        'ema_state_dict': {'steps': torch.tensor(5), 'module.w': last},
    }
    torch.save(checkpoint, tmp_path / 'a.pth')
    for trained in (False, True):
        source = open_source(tmp_path / 'a.pth', trained=trained)
        assert source.weights == {'w': last if trained else averaged,
                                  'bn.running_mean': mean}  # fmt: skip
        assert source.validated == (not trained)
    torch.save({'state_dict': {'w': averaged}}, tmp_path / 'b.pth')
    assert open_source(tmp_path / 'b.pth', trained=True).validated


@pytest.mark.parametrize(
    ('model', 'width', 'reason'),
    [
        (DETECTOR, 0.9, None),  # the default
        (DETECTOR, 0.89, 'width 0.89 was never trained, the least that was is 0.9'),
        (dict(DETECTOR, gradaug=dict(min_width=0.8, distill=None)), 0.8, None),
        (dict(DETECTOR, gradaug=dict(min_width=0.8)), 0.3, 'is 0.8'),
        (dict(DETECTOR, gradaug=dict(num_subnets=0)), 0.95, 'is 1'),
        (dict(DETECTOR, gradaug=dict(num_subnets=0)), 1.0, None),
        (dict(type='GradAugClassifier', gradaug=dict(shrink='depth')), 0.95, 'is 1'),
        (dict(type='Classifier'), 0.95, 'is 1'),
        (dict(type='Classifier'), 1.0, None),
    ],
)
def test_untrained_widths(model, width, reason):
    source = Source(Path('a.pth'), {}, {}, Config(dict(model=model)))
    told = untrained_widths(source, [1.0, width])
    assert list(told) == ([] if reason is None else [width])
    assert reason is None or reason in told[width]


def test_nothing_is_said_of_widths_where_nothing_is_known():
    cfg = Config(dict(model=dict(DETECTOR)))
    for unknown in (dict(cfg=None), dict(cfg=cfg, library='timm')):
        assert untrained_widths(Source(Path('a.pth'), {}, {}, **unknown), [0.3]) == {}
