"""From outside, a GradAug detector is the stock detector it names."""

import functools

import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer, inference_detector, init_detector
from mmengine.analysis import get_model_complexity_info
from mmengine.config import Config
from torch import nn

from tests.networks import batch, build, dense_config, detector_config, mmdet_config, stock_config
from tests.shapes_run import shapes_config
from tests.training.steps import sgd


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Config files of a GradAug detector and its stock twin, and one checkpoint for both."""
    folder = tmp_path_factory.mktemp('trained')
    cfg, config = shapes_config(folder / 'shapes'), detector_config()
    model = build(config)
    model.train_step(batch(), sgd(model, lr=0.01))
    meta = dict(dataset_meta=dict(CLASSES=('a', 'b', 'c')))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), folder / 'model.pth')
    for name, cfg.model in {'gradaug': config, 'stock': stock_config(config)}.items():
        cfg.dump(folder / f'{name}.py')
    return folder


def test_mmdets_own_tools_predict_the_same(trained):
    image = np.random.default_rng(0).integers(0, 255, (80, 96, 3), dtype=np.uint8)
    found = []
    for name in ('gradaug', 'stock'):
        files = str(trained / f'{name}.py'), str(trained / 'model.pth')
        instances = inference_detector(init_detector(*files, device='cpu'), image).pred_instances
        inferencer = DetInferencer(*files, device='cpu', show_progress=False)
        listed = inferencer(image, no_save_vis=True)['predictions'][0]
        tensors = [instances[key] for key in ('bboxes', 'scores', 'labels', 'masks')]
        found.append([*(tensor.tolist() for tensor in tensors), listed['bboxes']])
    assert found[0] == found[1]
    assert all(found[0])


def test_flops_are_the_stock_ones(trained):
    """Counted as mmdet's get_flops tool does, on the configs as they are."""
    counts = []
    for name in ('gradaug', 'stock'):
        model = build(Config.fromfile(trained / f'{name}.py').model).eval()
        data = model.data_preprocessor(batch((1,), 64), False)
        model.forward = functools.partial(model.forward, data_samples=data['data_samples'])
        info = get_model_complexity_info(model, None, inputs=data['inputs'], show_table=False)
        counts.append((info['flops'], info['params']))
    assert counts[0] == counts[1]
    assert counts[0][0] > 0


@pytest.fixture
def warnings(monkeypatch):
    """What detectors say when they are built."""
    said = []
    record = lambda text, **_: said.append(text)  # noqa: E731
    monkeypatch.setattr('mmgradaug.detection.detector.print_log', record)
    return said


TURN_AND_SCALE = [dict(type='RandomRotate', angles=[90]), dict(type='RandomScale', scales=[0.6])]


def test_any_registered_detector_trains_on_labels(warnings):
    config = dense_config('retinanet/retinanet_r50_fpn_1x_coco', transform=TURN_AND_SCALE)
    config.bbox_head.type = 'PISARetinaHead'  # which computes its losses in its own way
    model = build(config)
    log = model.train_step(batch(mask=False), sgd(model))
    assert torch.isfinite(log['loss'])
    assert log['subnet1/loss_cls'] > 0
    assert model._undistilled == 'bbox_head (PISARetinaHead)'
    assert len(warnings) == 1
    assert 'no distillation for its bbox_head (PISARetinaHead), so ' in warnings[0]
    del config.gradaug.distill
    build(config)
    assert len(warnings) == 1


def test_query_based_detectors_train_on_labels_by_choice(warnings):
    config = mmdet_config('detr/detr_r50_8xb2-150e_coco').model
    config.detector, config.type = config.type, 'GradAugDetector'
    small = dict(depth=18, base_channels=8, out_indices=(3,), norm_eval=False)
    config.backbone = dict(type='SlimmableResNet', **small)
    config.neck.in_channels = [64]
    config.encoder.num_layers = config.decoder.num_layers = 1
    config.num_queries = 10
    config.bbox_head.num_classes = 3
    config.gradaug = dict(num_subnets=1, min_width=0.5, transform=TURN_AND_SCALE)
    model = build(config)
    log = model.train_step(batch(mask=False), sgd(model))
    assert torch.isfinite(log['loss'])
    assert log['subnet1/loss_cls'] > 0
    assert log['subnet1/loss_bbox'] > 0
    config.gradaug.distill = 'labels'
    build(config)
    assert warnings == []
    config.gradaug.distill = dict(soft=0.5)
    build(config)
    assert len(warnings) == 1
    assert 'no distillation for its queries, by choice, so ' in warnings[0]


def rpn():
    """A detector without a box head."""
    small = detector_config()
    parts = {key: small[key] for key in ('type', 'gradaug', 'backbone', 'neck', 'rpn_head')}
    return build({**mmdet_config('rpn/rpn_r50_fpn_1x_coco').model, **parts, 'detector': 'RPN'})


def test_a_region_proposal_network_alone_is_distilled():
    model = rpn()
    log = model.train_step(batch(mask=False), sgd(model))
    assert log['subnet1/loss_rpn_cls_soft'] > 0
    assert log['subnet1/loss_rpn_cls_hard'] > 0
    assert 'agree_dense' not in log


def test_widths_need_a_slimmable_backbone():
    config = detector_config()
    for name in ('ResNetV1d', 'ResNet'):
        config.backbone.type = name
        words = f"needs a slimmable backbone, got {name}: set backbone type='Slimmable{name}'"
        with pytest.raises(ValueError, match=words):
            build(config)
    config.gradaug.min_width = 1.0
    model = build(config)  # RandScale of the paper's Table 4 runs on any backbone
    log = model.train_step(batch(), sgd(model))
    assert log['subnet1/width'] == 1.0


def test_norms_that_cannot_be_left_alone_are_refused(monkeypatch):
    # The real layer wants a process group.
    monkeypatch.setattr('mmgradaug.training.ddp.SyncBatchNorm', nn.BatchNorm2d)
    with pytest.raises(ValueError, match=r"backbone\.bn1 is mmcv's SyncBatchNorm.*type 'SyncBN'"):
        build(detector_config())
