import re
from pathlib import Path

import pytest
from mmengine.config import Config

from mmgradaug.engine.errors import taken_warnings
from mmgradaug.engine.loading import load_config
from mmgradaug.engine.option_keys import warn_of_file_keys
from tools.coverage import config_folder

CONFIG = 'configs/mask_rcnn_r18_gradaug_shapes.py'


@pytest.mark.parametrize(
    ('option', 'meant'),
    [
        ('train_cg.max_epochs', 'train_cfg.max_epochs'),
        ('modl.backbone.depth', 'model.backbone.depth'),
        ('randomnes.seed', 'randomness.seed'),  # not in the config, but mmengine's
        ('load_form', 'load_from'),
        ('gradaug.num_subnets', 'model.gradaug.num_subnets'),
    ],
)
def test_misspelt_first_keys_are_refused(option, meant):
    with pytest.raises(ValueError, match=f'^--cfg-options {option}: .*: write {meant}$'):
        load_config(CONFIG, {option: 3})


@pytest.mark.parametrize(
    ('option', 'words'),
    [
        ('optimizer.lr', "'optimizer' is a key that neither the config nor mmengine has"),
        ('model.backbone.dept', "'dept' is a new key beside 'depth'"),
        ('model.backbone.with_cp', None),
        ('env_cfg.dist_cfg.timeout', None),
        ('randomness.seed', None),
        ('check_annotations', None),
        ('train_dataloader.dataset.dataset.pipeline.0.backend_args', None),
    ],
)
def test_new_keys_are_warned_of_where_they_look_wrong(option, words, capsys):
    taken_warnings()
    load_config(CONFIG, {option: 3})
    told = capsys.readouterr().err
    assert (words in told) if words else told == ''
    assert len(taken_warnings()) == (words is not None)


def test_variables_of_a_config_file_are_told_to_change_nothing(tmp_path, capsys):
    path = tmp_path / 'config.py'
    path.write_text("data_root = 'data/'\nmodel = dict(type='MaskRCNN')\n")
    load_config(str(path), {'data_root': '/elsewhere'})
    assert 'data_root: a variable of the config file' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('key', 'meant'),
    [
        ('optim_wraper', 'optim_wrapper'),
        ('train_confg', 'train_cfg'),
        ('val_evaluater', 'val_evaluator'),
        ('randomnes', 'randomness'),
        ('model_wrapper', 'model_wrapper_cfg'),
        ('val_evaluator_2', None),
        ('data_root_2', None),
    ],
)
def test_misspelt_keys_of_a_file_are_warned_of(tmp_path, capsys, key, meant):
    path = tmp_path / 'config.py'
    path.write_text(f"optim_wrapper = dict()\n{key} = dict()\nmodel = dict(type='MaskRCNN')\n")
    load_config(str(path), {})
    told = capsys.readouterr().err
    assert told == '' if meant is None else f'the key {key!r}: if {meant!r} is meant' in told


def test_no_variable_of_a_shipped_config_looks_misspelt(capsys):
    """Of this repository and of mmdet, by the names that files assign to."""
    files = [path for folder in ('configs', config_folder()) for path in Path(folder).rglob('*.py')]
    names = {n for file in files for n in re.findall(r'^(\w+) *=', file.read_text(), re.MULTILINE)}
    assert len(names) > 200 and {'val_evaluator_dice', 'gradaug'} < names
    warn_of_file_keys(Config(dict.fromkeys(names - {'_base_'})))
    assert capsys.readouterr().err == ''
