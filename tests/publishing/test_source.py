"""What is read from a checkpoint: weights, averaged or trained, and the widths of its run."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmgradaug.publishing.source import Source, open_source, untrained_widths

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


@pytest.mark.parametrize(('model', 'untrained'), [
    (DETECTOR, [0.89, 0.3]),  # the default
    (dict(DETECTOR, gradaug=dict(min_width=0.8, distill=None)), [0.3]),
    (dict(DETECTOR, gradaug=dict(num_subnets=0)), [0.9, 0.89, 0.3]),
    (dict(type='GradAugClassifier', gradaug=dict(shrink='depth')), [0.9, 0.89, 0.3]),
    (dict(type='Classifier'), [0.9, 0.89, 0.3]),
    (None, []),  # nothing is known
])  # fmt: skip
def test_untrained_widths(model, untrained):
    cfg = model and Config(dict(model=model))
    widths = [1.0, 0.9, 0.89, 0.3]
    assert untrained_widths(Source(Path('a.pth'), {}, {}, cfg), widths) == untrained
    assert untrained_widths(Source(Path('a.pth'), {}, {}, cfg, library='timm'), widths) == []
