"""The narrow detector is a stock one with its parent's detections."""

import copy

import pytest
import torch
from mmdet.models.detectors import FasterRCNN, MaskRCNN, RetinaNet
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from torch import nn

from mmgradaug import SlimmableResNet, at_width, extract_subnet
from mmgradaug.publishing.narrow import narrow_detector, smallest_stock
from tests.networks import batch, build, dense_config, detector_config, randomised


def detector(kind='mask', depth=18, **backbone):
    """A detector with random weights and statistics, and its config."""
    if kind == 'retina':
        model = dense_config('retinanet/retinanet_r50_fpn_1x_coco')
        model.test_cfg.update(nms_pre=100, score_thr=0.0, max_per_img=50)
    else:
        model = detector_config(mask=kind == 'mask')
        model.test_cfg.rcnn.score_thr = 0.0
    model.backbone.update(depth=depth, **backbone)
    expansion = 1 if depth < 50 else 4
    base = model.backbone.base_channels
    model.neck.in_channels = [base * expansion * 2**i for i in range(4)]
    built = build(model)
    randomised(built.backbone)
    return built.eval(), Config(dict(model=model))


def detections(model, data):
    with torch.no_grad():
        return [s.pred_instances for s in model.test_step(copy.deepcopy(data))]


RESNEXT = dict(type='SlimmableResNeXt', groups=8, base_width=2, base_channels=16)


@pytest.mark.parametrize(('kind', 'depth', 'width', 'stock', 'options', 'made'), [
    ('mask', 18, 0.8, MaskRCNN, {}, dict(type='ResNet', base_channels=7)),
    ('mask', 50, 0.6, MaskRCNN, {}, dict(type='ResNet', base_channels=5)),
    ('faster', 18, 0.5, FasterRCNN, {}, dict(type='ResNet', base_channels=4)),
    ('retina', 18, 0.7, RetinaNet, {}, dict(type='ResNet', base_channels=6)),
    ('faster', 50, 0.5, FasterRCNN, RESNEXT, dict(type='ResNeXt', base_channels=8, groups=4)),
])  # fmt: skip
def test_detections_are_the_parents(kind, depth, width, stock, options, made):
    parent, cfg = detector(kind, depth, **options)
    weights = copy.deepcopy(parent.state_dict())
    narrow_cfg, narrow = narrow_detector(parent, cfg, width)
    assert type(narrow) is stock
    assert made.items() <= narrow_cfg.model.backbone.to_dict().items()
    assert type(narrow.backbone).__name__ == made['type']
    data = batch(mask=False)
    with at_width(parent, width):
        expected = detections(parent, data)
    for found, wanted in zip(detections(narrow, data), expected, strict=True):
        assert len(found) == len(wanted) > 0
        assert torch.equal(found.labels, wanted.labels)
        atol = 1e-2 if options else 2e-3  # in pixels
        torch.testing.assert_close(found.bboxes, wanted.bboxes, rtol=0, atol=atol)
        torch.testing.assert_close(found.scores, wanted.scores, rtol=0, atol=1e-5)
        if kind == 'mask':
            assert (found.masks != wanted.masks).float().mean() < 1e-4
    assert all(torch.equal(weights[k], v) for k, v in parent.state_dict().items())


CONTEXT = dict(cfg=dict(type='ContextBlock', ratio=1 / 4), position='after_conv3')


@pytest.mark.parametrize(('width', 'base', 'plugins', 'told'), [
    (0.9, 58, None, ''), (0.8, 52, None, ''), (0.75, 48, None, ''), (0.5, 32, None, ''),
    (0.9, 64, [CONTEXT], 'no smaller network of mmdet'),
])  # fmt: skip
def test_resnet50_becomes_a_barely_wider_stock_network(capsys, width, base, plugins, told):
    """Plugins, whose channels are their own, keep it large."""
    options = dict(type='ResNet', depth=50, plugins=plugins)
    with torch.device('meta'):
        parent = SlimmableResNet(50, plugins=plugins).eval()
        found = smallest_stock(extract_subnet(parent, width), options)
    assert found['base_channels'] == base
    assert told in capsys.readouterr().err


def test_silent_channels_stay_silent_in_training():
    parent, cfg = detector(depth=50)
    _, narrow = narrow_detector(parent, cfg, 0.77)
    before = {k: v.clone() for k, v in narrow.state_dict().items()}
    narrow.train()
    optimizer = torch.optim.SGD(narrow.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    wrapper = OptimWrapper(optimizer)
    for _ in range(2):
        narrow.train_step(batch(), wrapper)
    after = narrow.state_dict()
    trained = silent = 0
    for key, start in before.items():
        if key.endswith(('running_var', 'num_batches_tracked')) or 'backbone' not in key:
            continue
        zero = start.flatten(1).abs().sum(1) == 0 if start.dim() > 1 else start == 0
        silent += int(zero.sum())
        assert after[key][zero].abs().sum() == 0, key
        trained += int((after[key] != start).any())
    assert silent > 20
    assert trained > 100


def test_what_cannot_be_cut_is_named():
    parent, cfg = detector('faster')
    cfg.model.neck.in_channels = [8, 16, 32, 65]
    with pytest.raises(ValueError, match=r'in_channels=\[8, 16, 32, 65\].*--to backbone'):
        narrow_detector(parent, cfg, 0.5)
    parent, cfg = detector('faster')
    parent.neck.extra = nn.Conv2d(8, 4, 1)  # unknown to the stock detector
    with pytest.raises(ValueError, match=r'the trained detector does not fit .*neck\.extra'):
        narrow_detector(parent, cfg, 0.5)
    model = dense_config('rtmdet/rtmdet_s_8xb32-300e_coco')
    said = r'does not fit RTMDet: .*neck\.reduce_layers.*--to backbone'
    with pytest.raises(ValueError, match=said):
        narrow_detector(build(model).eval(), Config(dict(model=model)), 0.5)
