"""A published backbone in the demo's detector, by one line of its config."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmgradaug.publishing import Cut, open_source, publish_backbone
from mmgradaug.publishing.starting import start_detector
from tests.networks import ROOT


@pytest.fixture
def backbone(tmp_path, monkeypatch):
    """The published backbone of an untrained classifier of the demo."""
    monkeypatch.chdir(ROOT)
    cfg = Config.fromfile('configs/classification/resnet18_digits_gradaug.py')
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    path = tmp_path / 'epoch_60.pth'
    torch.save({'state_dict': model.state_dict(), 'meta': {'cfg': cfg.pretty_text}}, path)
    return publish_backbone(open_source(path), Cut(), tmp_path, overwrite=True)


def test_every_entry_of_the_backbone_arrives_in_the_detector(backbone):
    cfg = Config.fromfile('configs/mask_rcnn_r18_gradaug_nuclei.py')
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=str(backbone))
    detector, matched = start_detector(cfg, backbone)
    state = torch.load(backbone, weights_only=False)['state_dict']
    assert matched == len(state) == 120
    assert all(torch.equal(v, state[k]) for k, v in detector.backbone.state_dict().items())
    state['layer3.0.conv1.weight'] = state['layer3.0.conv1.weight'] + 1e-6
    torch.save({'state_dict': state}, backbone.with_name('other.pth'))
    with pytest.raises(RuntimeError, match=r"1 entries .*\['layer3\.0\.conv1\.weight'\]"):
        start_detector(cfg, backbone.with_name('other.pth'))
