"""tools/coverage_table.py: the swap and the trial of other people's configs."""

import os
import re
from functools import partial

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.hub import get_config

from mmgradaug.detection.distillation import roi_stage
from tests.networks import detector_config, stock_config
from tools import coverage_table as coverage
from tools.coverage_table import resnets, swap_failure, try_config, try_family


@pytest.mark.parametrize('name', [
    'retinanet/retinanet_r50_fpn_1x_coco',
    'empirical_attention/faster-rcnn_r50-attn1111-dcn_fpn_1x_coco',
    'gcnet/cascade-mask-rcnn_x101-32x4d-syncbn-dconv-c3-c5-r4-gcb-c3-c5_fpn_1x_coco',
])  # fmt: skip
def test_a_shipped_config_swaps(name):
    assert swap_failure(get_config(f'mmdet::{name}.py').model) == ''


def tiny(**parts):
    """Return a tiny Mask R-CNN of mmdet's, with changes to its parts."""
    model = stock_config(detector_config())
    for part, changes in parts.items():
        model[part].update(changes)
    return model


def test_what_cannot_be_sliced_has_its_reason():
    grouped = dict(dcn=dict(type='DCN', groups=2), stage_with_dcn=(False, False, False, True))
    reason = swap_failure(tiny(backbone=grouped))
    assert re.match(r"ConfigError: model\.backbone\.dcn=.*'groups': 2.* cannot be sliced", reason)


def test_backbones_are_found_at_any_depth():
    inner = dict(backbone=dict(type='mmdet.ResNetV1d', pretrained='file'))
    model = dict(backbone=dict(type='Swin'), parts=[inner], other=dict(type='mmpretrain.ResNet'))
    (found,) = resnets(model)
    assert found is inner['backbone']
    assert coverage.slimmable(found) == dict(type='SlimmableResNetV1d', init_cfg=None)


def test_the_page_counts_swaps_by_backbone_and_families_by_targets():
    models = {name: dict(backbone=dict(type=kind))
              for name, kind in (('a', 'ResNet'), ('b', 'ResNeXt'), ('c', 'ResNet'))}  # fmt: skip
    rows = [('f', 'a', 'FCOS', 'labels', ''), ('g', 'b', 'PAA', 'fails', 'why')]
    page = coverage.report(models, dict(a='', b='no', c=''), rows, {})
    assert '2 of 3 configs (2 of 2 with a ResNet, 0 of 1 with a ResNeXt)' in page
    assert '1 of 2 families; 0 of them distil' in page
    assert '| f | a | FCOS | labels |  |\n| g | b | PAA | fails | why |\n' in page
    assert '## Configs that do not swap\n\n- `b`: no\n' in page
    assert page.endswith('## Configs that mmdet cannot read here\n\nNone.\n')


@pytest.mark.parametrize(('model', 'targets', 'remark'), [
    # mmengine's runner undoes synchronised BatchNorm in one process, as here.
    (lambda: tiny(neck=dict(norm_cfg=dict(type='SyncBN'))), 'distilled', '$'),
    (lambda: tiny(neck=dict(in_channels=[1, 2, 3, 4])), 'fails',
     'mmdet without mmgradaug fails here too: RuntimeError: '),
    (lambda: ConfigDict(type='QDTrack'), 'fails', 'it tracks objects'),
    (lambda: ConfigDict(type='SoftTeacher'), 'fails', 'it wraps a detector'),
], ids=['trains', 'mmdet fails', 'tracks', 'wraps'])  # fmt: skip
def test_a_trial_says_what_sub_networks_learn_from_or_why_it_fails(model, targets, remark):
    found, told = try_config('mine/tiny.py', model())
    assert found == targets
    assert re.match(remark, told)


def test_a_failure_of_ours_is_not_passed_over(monkeypatch):
    """A parameter without gradient in a sub-network's pass would stop several processes."""
    monkeypatch.setattr(roi_stage, 'zero_loss', lambda *outputs: torch.zeros(()))
    monkeypatch.setitem(coverage.GRADAUG, 'distill', dict(roi_mask='off'))
    targets, remark = try_config('mine/tiny.py', tiny())
    expected = r'AssertionError: sub-network 1 gives no gradient to \d+ of .*roi_head\.mask_head\.'
    assert targets == 'fails' and re.match(expected, remark)


def test_trials_need_little_memory():
    """Mask2Former pads its batches to 1024 x 1024 pixels, of any images: 16 GB."""
    model = get_config('mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py').model
    (pad,) = coverage.reduced(model).data_preprocessor.batch_augments
    assert pad.size == (192, 224)
    assert model.train_cfg.num_points == 1024


@pytest.mark.slow
def test_each_config_has_a_process_of_its_own(monkeypatch):
    """One that asks for too much memory fails alone; one that mmdet trains stands for all."""
    greedy = tiny(neck=dict(out_channels=2**14))  # a convolution of 10 GB
    row = try_family({'mine/greedy.py': greedy, 'mine/tiny.py': tiny()})
    assert row == ('mine', '`mine/tiny.py`', 'MaskRCNN', 'distilled', '')
    monkeypatch.setattr(coverage, 'limit', partial(os._exit, 1))
    row = try_family({'mine/tiny.py': tiny()})
    assert row[3] == 'fails' and 'terminated abruptly' in row[4]
