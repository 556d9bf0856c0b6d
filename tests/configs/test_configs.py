"""Every config builds, and differs from its base in what it says only."""

import copy
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import MODELS

from mmgradaug.engine.checks import warn_of_schedule
from tests.launching import logged
from tests.networks import stock_config
from tests.shapes_run import TINY
from tools.train import main

ROOT = Path(__file__).parents[2]
CONFIGS = sorted(ROOT.glob('configs/*.py'))
COCO = [path for path in CONFIGS if '_r50_' in path.name]
RCNN_1X = [path for path in COCO if re.fullmatch(r'(mask|faster)_rcnn.*_1x\.py', path.name)]
TABLE_7 = [path for path in RCNN_1X if 'syncbn' not in path.name]
OTHERS = [path for path in COCO if path not in TABLE_7]


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_builds_with_the_stock_keys(path, capsys):
    cfg = Config.fromfile(path)
    warn_of_schedule(cfg)
    assert capsys.readouterr().err == ''
    with torch.device('meta'):
        keys = list(MODELS.build(copy.deepcopy(cfg.model)).state_dict())
    stock = cfg.model
    if stock.type == 'GradAugDetector':
        assert stock.gradaug.num_subnets >= 1
        assert stock.backbone.type == 'SlimmableResNet'
        stock = stock_config(stock)
    with torch.device('meta'):
        assert keys == list(MODELS.build(stock).state_dict())


def without_scope(value):
    """A config without the `_scope_` marks that mmengine adds to what it inherits from mmdet."""
    if isinstance(value, dict):
        return {k: without_scope(v) for k, v in value.items() if k != '_scope_'}
    return [without_scope(v) for v in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize('path', TABLE_7, ids=lambda path: path.stem)
def test_only_images_are_smaller_than_in_mmdets_config(path):
    """Schedule, batch and optimizer are mmdet's."""
    cfg = Config.fromfile(path)
    name = 'faster' if 'faster' in path.name else 'mask'
    size = (1333, 800) if '1333x800' in path.name or name == 'faster' else (1000, 600)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        (resize,) = (t for t in loader.dataset.pipeline if t['type'] == 'Resize')
        assert tuple(resize['scale']) == size
    stock = get_config(f'mmdet::{name}_rcnn/{name}-rcnn_r50_fpn_1x_coco.py')
    assert cfg.train_dataloader.batch_size == 2
    for key in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'auto_scale_lr', 'val_evaluator'):
        assert without_scope(cfg[key]) == without_scope(stock[key])


@pytest.mark.parametrize('path', OTHERS, ids=lambda path: path.stem)
def test_only_the_model_differs_from_mmdets_config(path):
    cfg = Config.fromfile(path)
    (base,) = re.findall(r"'(mmdet::\S+)'", path.read_text())
    stock = get_config(base)
    own = {'model', 'data_help', 'custom_imports', 'gradaug'}
    recipes = [{k: v for k, v in c.items() if k not in own} for c in (cfg, stock)]
    assert without_scope(recipes[0]) == without_scope(recipes[1])
    if stock.model.backbone.init_cfg is not None:
        assert cfg.model.backbone.init_cfg.checkpoint == 'pretrained/resnet50_gradaug.pth'
    assert dict(cfg.model.gradaug) | dict(cfg.gradaug) == cfg.model.gradaug


def test_main_config_is_the_last_row_of_table_7():
    model = Config.fromfile(ROOT / 'configs/mask_rcnn_r50_gradaug_1x.py').model
    assert model.backbone.init_cfg.checkpoint == 'pretrained/resnet50_gradaug.pth'
    assert model.detector == 'MaskRCNN'
    assert (model.gradaug.num_subnets, model.gradaug.min_width) == (3, 0.9)
    assert model.gradaug.distill == dict(soft=0.5)


@pytest.mark.parametrize('epochs', [1, 2, 3, 4, 12])
def test_the_example_for_own_data_lowers_the_rate_once_at_a_time(epochs):
    text = (ROOT / 'configs/own_data_example.py').read_text()
    text = re.sub(r'^max_epochs = .*', f'max_epochs = {epochs}', text, flags=re.M)
    first, second = Config.fromstring(text, '.py').param_scheduler[1].milestones
    assert first in range(1, second) or first == second == epochs


def test_the_example_for_own_data_trains_when_copied(shapes, tmp_path, monkeypatch):
    """What its marked lines say is all that its data needs."""
    text = (ROOT / 'configs/own_data_example.py').read_text()
    for line, value in {
        'data_root': f"'{shapes}/'",
        'classes': "('circle', 'square', 'triangle')",
        'num_classes': '3',
        'image_scale': '(64, 64)',
        'max_epochs': '1',
    }.items():
        text, found = re.subn(rf'^{line} = .*# <-', f'{line} = {value}  # <-', text, flags=re.M)
        assert found == 1
    assert 'configs' not in text.partition('"""\n\n')[2]
    (tmp_path / 'mine.py').write_text(text)
    monkeypatch.chdir(tmp_path)
    small = [*(o for o in TINY if o.startswith('model.')), 'model.backbone.depth=18',
             'model.backbone.init_cfg=None', 'model.backbone.frozen_stages=-1',
             'train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False',
             'val_dataloader.num_workers=0', 'val_dataloader.persistent_workers=False']  # fmt: skip
    main(['mine.py', '--cfg-options', *small, 'default_hooks.logger.interval=1'])
    assert (tmp_path / 'work_dirs/mine/epoch_1.pth').is_file()
    assert len(logged(tmp_path / 'work_dirs/mine', 'subnet3/width')) == 2  # 3 images in pairs
