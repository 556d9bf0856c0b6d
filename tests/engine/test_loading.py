from itertools import islice

import pytest

from mmgradaug.engine.errors import InputError, one_line_errors
from mmgradaug.engine.loading import endless, load_config


def test_starts_again():
    assert list(islice(endless([1, 2]), 5)) == [1, 2, 1, 2, 1]


def test_empty_loader_is_an_error():
    with pytest.raises(ValueError, match='no batch'):
        next(endless([]))


def test_config_of_another_kind_is_an_error():
    with pytest.raises(InputError, match=r"type 'MaskRCNN', expected GradAugDetector"):
        load_config('configs/mask_rcnn_r50_1x.py', None, gradaug=True)
    for kind in ('mmgradaug.GradAugDetector', 'mmdet.GradAugDetector'):
        cfg = load_config(
            'configs/mask_rcnn_r18_gradaug_shapes.py', {'model.type': kind}, gradaug=True
        )
        assert cfg.model.type == kind
    cfg = load_config('configs/mask_rcnn_r50_1x.py', {'train_dataloader.batch_size': 1})
    assert cfg.train_dataloader.batch_size == 1


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('model = dict(', r'config\.py, or a file of its _base_, is no Python: .*line 1: model'),
        ("_base_ = './none.py'\n", r'none\.py'),
        (
            "custom_imports = dict(imports=['nonesuch_package'])\n",
            r"cannot be imported: No module named 'nonesuch_package': .*PYTHONPATH=FOLDER",
        ),
    ],
)
def test_configs_that_cannot_be_read_are_one_line(tmp_path, text, words):
    path = tmp_path / 'config.py'
    path.write_text(text)
    with pytest.raises(SystemExit, match=words) as stopped, one_line_errors():
        load_config(str(path), None)
    assert '\n' not in str(stopped.value)


def test_a_module_that_is_no_python_is_named(tmp_path, monkeypatch):
    (tmp_path / 'bad_syntax.py').write_text('def f(:\n')
    path = tmp_path / 'config.py'
    path.write_text("custom_imports = dict(imports=['bad_syntax'])\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r'bad_syntax\.py is no Python: .* in line 1: def f\(:'):
        load_config(str(path), None)


def test_the_reason_of_a_failed_import_is_told(tmp_path, monkeypatch):
    (tmp_path / 'bad_import.py').write_text('from math import nonesuch\n')
    path = tmp_path / 'config.py'
    path.write_text("custom_imports = dict(imports=['bad_import'])\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match=r"imported: cannot import name 'nonesuch' from 'math'"):
        load_config(str(path), None)


def test_a_missing_config_with_a_near_name_is_a_misspelt_one():
    with pytest.raises(InputError, match=r'\(perhaps .*/configs/mask_rcnn_r50_1x\.py\): expected'):
        load_config('configs/mask_rcn_r50_1x.py', None)


def test_a_config_without_a_model_is_an_error(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text('train_cfg = dict()\n')
    with pytest.raises(ValueError, match=r'config\.py has no model, expected the config of'):
        load_config(str(path), None)
