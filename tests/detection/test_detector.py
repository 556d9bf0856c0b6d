"""From outside, a GradAug detector is the stock detector it names."""

import copy
import functools

import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer, inference_detector, init_detector
from mmengine.analysis import get_model_complexity_info
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from torch import nn

from tests.networks import batch, build, dense_config, detector_config, mmdet_config, stock_config


def full_config(model):
    """A config file's content around a model config."""
    cfg = mmdet_config('mask_rcnn/mask-rcnn_r50_fpn_1x_coco')
    cfg.model = model
    cfg.custom_imports = dict(imports=['mmgradaug'], allow_failed_imports=False)
    cfg.test_pipeline[1].scale = (96, 96)
    cfg.test_dataloader.dataset.pipeline = cfg.test_pipeline
    cfg.train_dataloader.dataset.metainfo = dict(classes=('a', 'b', 'c'))
    return cfg


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Config files of a GradAug detector and its stock twin, and one checkpoint for both."""
    folder = tmp_path_factory.mktemp('trained')
    model_config = detector_config()
    model = build(model_config)
    model.train_step(batch(), OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01)))
    meta = dict(dataset_meta=dict(CLASSES=('a', 'b', 'c')))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), folder / 'model.pth')
    full_config(copy.deepcopy(model_config)).dump(folder / 'gradaug.py')
    full_config(stock_config(model_config)).dump(folder / 'stock.py')
    return folder


def test_predictions_are_the_stock_ones():
    config = detector_config()
    model = build(config).eval()
    stock = build(stock_config(config)).eval()
    stock.load_state_dict(model.state_dict())
    data = batch((1, 1))
    results = [m.test_step(copy.deepcopy(data)) for m in (model, stock)]
    for left, right in zip(*results, strict=True):
        assert torch.equal(left.pred_instances.bboxes, right.pred_instances.bboxes)
        assert torch.equal(left.pred_instances.scores, right.pred_instances.scores)
        assert torch.equal(left.pred_instances.masks, right.pred_instances.masks)


def test_init_and_inference_detector(trained):
    image = np.random.default_rng(0).integers(0, 255, (80, 96, 3), dtype=np.uint8)
    results = []
    for name in ('gradaug', 'stock'):
        model = init_detector(str(trained / f'{name}.py'), str(trained / 'model.pth'), device='cpu')
        results.append(inference_detector(model, image).pred_instances)
    assert len(results[0]) > 0
    assert torch.equal(results[0].bboxes, results[1].bboxes)
    assert torch.equal(results[0].scores, results[1].scores)


def test_inferencer(trained):
    init_default_scope('mmdet')
    image = np.random.default_rng(0).integers(0, 255, (80, 96, 3), dtype=np.uint8)
    boxes = []
    for name in ('gradaug', 'stock'):
        inferencer = DetInferencer(
            str(trained / f'{name}.py'),
            str(trained / 'model.pth'),
            device='cpu',
            show_progress=False,
        )
        boxes.append(inferencer(image, no_save_vis=True)['predictions'][0]['bboxes'])
    assert boxes[0] == boxes[1]
    assert boxes[0]


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
    monkeypatch.setattr(
        'mmgradaug.detection.detector.print_log', lambda text, **_: said.append(text)
    )
    return said


TURN_AND_SCALE = [dict(type='RandomRotate', angles=[90]), dict(type='RandomScale', scales=[0.6])]


def test_any_registered_detector_trains_on_labels(warnings):
    config = dense_config('retinanet/retinanet_r50_fpn_1x_coco', transform=TURN_AND_SCALE)
    config.bbox_head.type = 'PISARetinaHead'  # which computes its losses in its own way
    model = build(config)
    log = model.train_step(
        batch(mask=False), OptimWrapper(torch.optim.SGD(model.parameters(), 1e-3))
    )
    assert torch.isfinite(log['loss'])
    assert log['subnet1/loss_cls'] > 0
    assert model._undistilled == 'bbox_head (PISARetinaHead)'
    assert len(warnings) == 1
    assert 'no distillation for its bbox_head (PISARetinaHead)' in warnings[0]


def test_query_based_detectors_train_on_labels_by_choice(warnings):
    config = mmdet_config('detr/detr_r50_8xb2-150e_coco').model
    config.detector, config.type = config.type, 'GradAugDetector'
    config.backbone = dict(
        type='SlimmableResNet', depth=18, base_channels=8, out_indices=(3,), norm_eval=False
    )
    config.neck.update(in_channels=[64], out_channels=16)
    attention = dict(embed_dims=16, num_heads=2, dropout=0.0, batch_first=True)
    layer = dict(self_attn_cfg=attention, ffn_cfg=dict(embed_dims=16, feedforward_channels=16))
    config.encoder.update(num_layers=1, layer_cfg=layer)
    config.decoder.layer_cfg = dict(cross_attn_cfg=attention, **layer)
    config.positional_encoding.num_feats = 8
    config.num_queries = 10
    config.bbox_head.update(num_classes=3, embed_dims=16)
    config.gradaug = dict(num_subnets=1, min_width=0.5, transform=TURN_AND_SCALE)
    model = build(config)
    log = model.train_step(
        batch(mask=False), OptimWrapper(torch.optim.SGD(model.parameters(), 1e-3))
    )
    assert torch.isfinite(log['loss'])
    assert log['subnet1/loss_cls'] > 0
    assert log['subnet1/loss_bbox'] > 0
    assert len(warnings) == 1
    assert 'the choice for query-based heads' in warnings[0]
    assert 'no distillation' not in warnings[0]
    config.gradaug.distill = 'labels'
    build(config)
    assert len(warnings) == 1


def test_a_region_proposal_network_alone_is_distilled():
    config = detector_config()
    rpn = mmdet_config('rpn/rpn_r50_fpn_1x_coco').model
    for key in ('roi_head', 'train_cfg', 'test_cfg'):
        config.pop(key)
    config.update(detector='RPN', train_cfg=rpn.train_cfg, test_cfg=rpn.test_cfg)
    model = build(config)
    log = model.train_step(
        batch(mask=False), OptimWrapper(torch.optim.SGD(model.parameters(), 1e-3))
    )
    assert log['subnet1/loss_rpn_cls_soft'] > 0
    assert log['subnet1/loss_rpn_cls_hard'] > 0
    assert 'agree_dense' not in log


def test_head_that_changes_what_is_replayed_is_not_distilled():
    config = detector_config()
    config.roi_head.type = 'PISARoIHead'
    model = build(config)
    assert model._distillers == []
    assert model._undistilled == 'roi_head (PISARoIHead)'


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(detector='MaskRCN'), "detector='MaskRCN' is not.*MaskRCNN"),
        (dict(detector=None), 'detector=None is not a detector'),
        (dict(detector='ResNet'), "detector='ResNet' is not a detector"),
        (dict(gradaug=dict(num_subnet=3)), "unknown options \\['num_subnet'\\], expected some of"),
        (dict(gradaug=3), 'gradaug must be a dict of options, got 3'),
        (dict(gradaug=dict(num_subnets=-1)), 'num_subnets must be a whole number'),
    ],
)
def test_bad_options_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        build(detector_config() | change)


OTHERS = dict(
    Res2Net=dict(depth=50, scales=4, base_width=26),
    ResNeSt=dict(depth=50, radix=2),
    RegNet=dict(arch='regnetx_400mf'),
)


@pytest.mark.parametrize('name', OTHERS)
def test_backbones_that_cannot_be_sliced_are_refused_by_name(name):
    """Under their own name, and where only the name was replaced."""
    config = detector_config()
    config.backbone = dict(type=name, **OTHERS[name])
    with pytest.raises(
        ValueError, match=f'got {name}: .*SlimmableResNet.* others, such as Res2Net'
    ):
        build(config)
    config.backbone['type'] = 'SlimmableResNet'
    with pytest.raises(ValueError, match=f'belongs to {name}, which cannot be sliced: start'):
        build(config)


def test_widths_need_a_slimmable_backbone():
    config = detector_config()
    config.backbone.type = 'ResNet'
    with pytest.raises(
        ValueError, match=r'needs a slimmable backbone, got ResNet: set backbone type='
    ):
        build(config)
    config.gradaug.min_width = 1.0
    model = build(config)  # RandScale of the paper's Table 4 runs on any backbone
    log = model.train_step(batch(), OptimWrapper(torch.optim.SGD(model.parameters(), 1e-3)))
    assert log['subnet1/width'] == 1.0


def test_norms_that_cannot_be_left_alone_are_refused(monkeypatch):
    # The real layer wants a process group.
    monkeypatch.setattr('mmgradaug.training.norms.SyncBatchNorm', nn.BatchNorm2d)
    with pytest.raises(ValueError, match=r"backbone\.bn1 is mmcv's SyncBatchNorm.*type 'SyncBN'"):
        build(detector_config())


def test_plain_wrapper_of_several_processes_is_refused(monkeypatch):
    model = build(detector_config())
    data = model.data_preprocessor(batch(), True)
    monkeypatch.setattr('torch.distributed.is_initialized', lambda: True)
    with pytest.raises(RuntimeError, match='GradAugDistributedDataParallel'):
        model(**data, mode='loss')


def steps(steps=6, mask=False, **gradaug):
    """Logs of some steps with an option of the paper's ablations."""
    model = build(detector_config(mask, **gradaug))
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), 1e-3))
    return [model.train_step(batch(size=64, mask=mask), wrapper) for _ in range(steps)]


def drawn(logs, key):
    return [log[name] for log in logs for name in log if name.endswith(f'/{key}')]


def test_ablation_labels():
    (log,) = steps(1, mask=True, distill='labels')
    assert {'subnet1/loss_cls', 'subnet1/loss_mask', 'subnet1/loss_rpn_cls'} <= set(log)
    assert not any('soft' in key for key in log)


def test_ablation_rand_scale_only():
    logs = steps(min_width=1.0)
    assert set(drawn(logs, 'width')) == {1.0}
    assert len(set(drawn(logs, 'scale'))) > 1


def test_ablation_rand_width_only():
    logs = steps(transform=None)
    assert set(drawn(logs, 'scale')) == {1.0}
    assert len(set(drawn(logs, 'width'))) > 3


def test_ablation_number_of_subnets():
    (log,) = steps(1, num_subnets=4)
    assert 'subnet4/loss' in log
    assert 'subnet5/loss' not in log


def test_ablation_smallest_width():
    forced, free = steps(), steps(force_min_width=False)
    assert {log['subnet1/width'] for log in forced} == {0.5}
    assert 0.5 not in {log['subnet1/width'] for log in free}


def test_ablation_rotation():
    logs = steps(transform=dict(type='RandomRotate'))
    assert len(set(drawn(logs, 'turns'))) > 1
    assert set(drawn(logs, 'scale')) == {1.0}


def test_ablation_rotation_then_scale():
    transform = [dict(type='RandomRotate'), dict(type='RandomScale', scales=[1.0, 0.5])]
    logs = steps(transform=transform)
    assert len(set(drawn(logs, 'turns'))) > 1
    assert set(drawn(logs, 'scale')) == {1.0, 0.5}


def test_ablation_a_head_not_distilled():
    (log,) = steps(1, mask=True, distill=dict(roi_mask='off'))
    assert 'subnet1/loss_mask_soft' not in log
    assert 'subnet1/loss_mask_hard' not in log
    assert 'subnet1/loss_roi_bbox_hard' in log
