"""What the tools share, and that they answer at once."""

import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils.data import DataLoader

from mmgradaug.engine.cli import load_config, make_output_dir, one_line_errors
from mmgradaug.errors import ConfigError
from tools.train import parse_args

CONFIG = 'configs/mask_rcnn_r18_gradaug_shapes.py'
TOOLS = {path.stem for path in Path('tools').glob('[a-z]*.py')} - {'doctor'}


@pytest.mark.parametrize('tool', sorted(TOOLS))
def test_help_waits_for_no_import(tool):
    code = (
        'import atexit, runpy, sys\n'
        'atexit.register(lambda: print("torch" in sys.modules))\n'
        'sys.argv = ["tool", "--help"]\n'
        f'runpy.run_path("tools/{tool}.py", run_name="__main__")'
    )
    printed = subprocess.check_output([sys.executable, '-c', code], text=True)
    assert printed.startswith('usage: ') and printed.endswith('False\n')


@pytest.mark.parametrize(('option', 'words'), [
    ('randomnes.seed', r"\(did you mean 'randomness'\?\)"),  # not in the config, but mmengine's
    ('lr', r"nothing reads 'lr', expected a key of the config"),
    ('gradaug.num_subnets', r'has no effect: write model\.gradaug\.num_subnets$'),
])  # fmt: skip
def test_options_that_nothing_reads_are_refused(option, words):
    with pytest.raises(ConfigError, match=f'^--cfg-options {option}.*{words}'):
        load_config(CONFIG, {option: 3})


def test_variables_that_were_copied_are_warned_of(capsys):
    load_config('configs/own_data_example.py', {'data_root': 'b/', 'model.backbone.depth': 34})
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('warning: --cfg-options data_root: data_root is a variable of the')


def test_options_replace_and_extend_the_config():
    """Also those of lists, and `--cfg-options` more than once; the last value counts."""
    scale = 'train_dataloader.dataset.dataset.pipeline.2.scale=(8,16)'
    first = ['load_from=a.pth', 'randomness.seed=2', 'model.backbone.with_cp=True']
    argv = [CONFIG, '--cfg-options', *first, '--cfg-options', scale, 'load_from=b.pth']
    cfg = load_config(CONFIG, parse_args(argv).cfg_options)
    assert (cfg.load_from, cfg.randomness.seed, cfg.model.backbone.with_cp) == ('b.pth', 2, True)
    pipeline = cfg.train_dataloader.dataset.dataset.pipeline
    assert [step.scale for step in pipeline if 'scale' in step] == [(8, 16)]
    assert len(pipeline) > 3


@pytest.mark.parametrize('option', [
    'model.gradaug.transform.scales.0', 'param_scheduler.end', 'param_scheduler.9.end',
    'model.backbone.depth.value', 'train_dataloader.dataset.dataset.pipeline.2.scale.0',
])  # fmt: skip
def test_options_that_cannot_be_merged_are_one_line(option):
    with pytest.raises(ConfigError, match=f'^--cfg-options {option} cannot be merged: '):
        load_config(CONFIG, {option: 3})


def test_python_style_configs_have_mmdets_scope(tmp_path):
    """mmdet's own ``default_runtime.py`` for them has ``default_scope = None``."""
    (tmp_path / 'runtime.py').write_text('default_scope = None\n')
    lazy = 'from mmengine.config import read_base\nwith read_base():\n    from .runtime import *\n'
    (tmp_path / 'lazy.py').write_text(lazy)
    assert load_config(tmp_path / 'lazy.py').default_scope == 'mmdet'


def test_a_config_of_another_model_is_refused():
    stock = 'configs/mask_rcnn_r50_1x.py'
    words = "model type 'MaskRCNN', expected GradAugDetector or GradAugClassifier"
    with pytest.raises(ConfigError, match=words):
        load_config(stock, gradaug=True)
    assert load_config(stock).model.type == 'MaskRCNN'
    for kind in ('mmgradaug.GradAugDetector', 'mmdet.GradAugDetector'):
        assert load_config(CONFIG, {'model.type': kind}, gradaug=True)


def test_output_folders_are_made_and_tried(tmp_path):
    for _ in range(2):
        assert make_output_dir(tmp_path / 'a/b') == tmp_path / 'a/b'
    assert not list((tmp_path / 'a/b').iterdir())
    (tmp_path / 'file').touch()
    for path in (tmp_path / 'file', tmp_path / 'file/below', Path('/proc/none'), Path('/proc')):
        with pytest.raises(ConfigError, match=f'^--work-dir {path} cannot be written .*: name an'):
            make_output_dir(path, '--work-dir')


def refuse(samples):
    raise ConfigError('cannot read a.png: ConfigError: replace it')


@pytest.mark.parametrize('workers', [0, 1])
def test_a_config_error_is_one_line(workers):
    with pytest.raises(SystemExit) as stopped, one_line_errors():
        next(iter(DataLoader([0], num_workers=workers, collate_fn=refuse)))
    assert stopped.value.code == 'error: cannot read a.png: ConfigError: replace it'


def test_other_errors_keep_their_traceback():
    with pytest.raises(ValueError, match=r'^mine$'), one_line_errors():
        raise ValueError('mine')
