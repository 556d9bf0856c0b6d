import json
import re
import traceback

import pytest
import torch
from mmdet.datasets.transforms import LoadAnnotations
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, MODELS
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader, Dataset

from mmgradaug.checkpoints.safe_loading import load_file
from mmgradaug.engine.building import one_line_run
from mmgradaug.engine.error_origin import is_ours, is_users
from mmgradaug.engine.error_text import message_of
from mmgradaug.engine.errors import InputError, naming, one_line_errors
from mmgradaug.engine.hooks import BadImagesHook
from mmgradaug.engine.samples import SampleError, load_sample
from mmgradaug.errors import ConfigError
from mmgradaug.transforms import build_transform
from tests.networks import build, detector_config


def exit_of(function):
    """The line with which a call ends the process."""
    with pytest.raises(SystemExit) as stopped, one_line_errors():
        function()
    assert '\n' not in str(stopped.value)
    return str(stopped.value)


def test_a_traceback_comes_on_request(monkeypatch, capfd):
    assert exit_of(lambda: BadImagesHook(-1)).startswith('error: max_bad_images')
    assert capfd.readouterr().err == ''
    monkeypatch.setenv('MMGRADAUG_TRACEBACK', '1')
    assert exit_of(lambda: BadImagesHook(-1)).startswith('error: max_bad_images')
    assert 'in __init__' in capfd.readouterr().err


def fails(error):
    raise error


@MODELS.register_module(force=True)
class MyPart(nn.Module):
    """A model of a user, in a file of theirs."""

    def __init__(self, error=None, **options):
        super().__init__()
        if error is not None:
            raise error
        MODELS.build(options['inner'])


@HOOKS.register_module(force=True)
class MyData:
    def __init__(self, width=1):
        pass


@HOOKS.register_module(force=True)
class MyHook(Hook):
    def before_run(self, runner):
        raise TypeError('my own bug')


@pytest.mark.parametrize(
    'config',
    [
        dict(type='MyPart', error=ValueError('my shape is wrong')),
        dict(type='MyPart', error=AssertionError()),
        dict(type='MyPart', inner=dict(type='Nonesuch')),  # what they call in a library
        dict(type='MyPart', inner=dict(type='MyPart', error=OSError(2, 'gone', 'a.txt'))),
    ],
)
def test_errors_of_the_users_own_code_keep_their_traceback(config):
    """The same errors that libraries raise on purpose, from a module of the user's."""
    with pytest.raises(Exception) as error, one_line_errors():  # noqa: PT011
        MODELS.build(config)
    assert not isinstance(error.value, SystemExit)
    assert is_users(error.value)
    assert any(entry.path.name == 'test_errors.py' for entry in error.traceback[1:])


class Loads(BaseDataset):
    """A data set of one sample and one transform."""

    def __init__(self, sample, transform):
        self.sample = sample
        super().__init__(pipeline=[transform], test_mode=True)

    def load_data_list(self):
        return [self.sample]


def test_compiled_code_of_libraries_is_not_the_users():
    """pycocotools names ``pycocotools/_mask.pyx`` in its frames, which is nowhere."""
    load = LoadAnnotations(with_bbox=False, with_label=False, with_mask=True)
    mask = dict(size=[8, 8], counts='abc')
    sample = dict(instances=[dict(mask=mask, ignore_flag=0)], ori_shape=(8, 8), img_path='a.png')
    with pytest.raises(SampleError, match=r'\(a\.png\) .* by LoadAnnotations: .*RLE') as error:
        load_sample(Loads(sample, load), 0)
    assert not is_users(error.value)


def test_options_that_the_users_class_does_not_take_are_one_line():
    for kind, words in (('MyHook', 'MyHook.* takes no arguments'), ('MyData', "argument 'widht'")):
        assert re.search(words, exit_of(lambda kind=kind: HOOKS.build(dict(type=kind, widht=3))))


def test_an_error_in_the_users_hook_is_shown_where_mmengine_hides_it(tmp_path):
    run = object.__new__(Runner)
    run._hooks = [MyHook()]
    with pytest.raises(TypeError, match='my own bug in ') as error, one_line_run():
        run.call_hook('before_run')
    text = ''.join(traceback.format_exception(error.value))
    assert "raise TypeError('my own bug')" in text


def test_a_sample_that_the_users_transform_breaks_is_named_after_its_traceback(capfd):
    class Data:
        def __getitem__(self, index):
            return json.loads('no number')

    told = r'^error: sample 3 cannot .*JSONDecodeError: .*at .*test_errors\.py:\d+: return json'
    with pytest.raises(SystemExit, match=told) as stopped, one_line_run():
        load_sample(Data(), 3)
    assert '\n' not in str(stopped.value)
    assert "return json.loads('no number')" in capfd.readouterr().err
    worker = SampleError(
        'Caught SampleError in DataLoader worker process 0.\nOriginal Traceback (most recent call '
        f'last):\n  File "{torch.__file__}", line 1\n  File "/home/user/mine.py", line 3, in f\n'
    )
    assert is_users(worker)
    ours = SampleError(str(worker).replace('/home/user/mine.py', torch.__file__))
    assert not is_users(ours)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (dict(gradaug=dict(num_subnets=-1)), r'gradaug\.num_subnets .* got -1'),
        (dict(gradaug=dict(widths=3)), r"unknown options \['widths'\]"),
        (dict(gradaug=dict(distill=dict(roi_cls='sotf'))), 'sotf'),
        (dict(gradaug=dict(transform=3)), r'gradaug\.transform must be .* got 3'),
        (dict(gradaug=dict(transform=dict(type='RandomScale', scales=[50]))), r'\[50\.0\]'),
        (dict(detector='MaskRCN'), "detector='MaskRCN' is not a detector.* MaskRCNN"),
        (dict(detector='RetinaNet'), "'RetinaNet' does not take roi_head, rpn_head"),
        (
            dict(backbone=dict(type='SlimmableResNet', depth=18, widht=3)),
            r'model\.backbone\.widht=3.*expected some of depth',
        ),
        (dict(backbone=dict(type='SlimmableResnet', depth=18)), "write 'SlimmableResNet'"),
        (dict(neck=dict(type='FPN', in_channels=3)), 'AssertionError at assert isinstance'),
    ],
)
def test_options_that_a_model_refuses(change, words):
    model = detector_config()
    model.update(change)
    assert re.search(words, exit_of(lambda: build(model)))


@pytest.mark.parametrize(
    'function',
    [
        lambda: None + 1,
        lambda: fails(ValueError('of a script')),
        lambda: {}['key'],
        lambda: int('three'),
        lambda: [] + {},
        lambda: nn.Linear(1, 1).wieght,
        lambda: nn.Linear(1, 1)(torch.zeros(3, 2)),
        lambda: nn.Conv2d(1, 1, 1, colour=3),
        lambda: nn.Sequential(3),
    ],
)
def test_programming_errors_keep_their_traceback(function):
    with pytest.raises(Exception) as error, one_line_errors():  # noqa: PT011
        function()
    assert not isinstance(error.value, SystemExit)


def test_files_are_about_input(tmp_path):
    assert 'none.txt' in exit_of(lambda: load_file(tmp_path / 'none.txt'))
    assert exit_of(lambda: fails(InputError('two\n  lines'))) == 'error: two lines'
    assert 'not in' in exit_of(lambda: MODELS.build(dict(type='Nonesuch')))


@pytest.mark.parametrize(
    ('config', 'words'),
    [
        (dict(type='LoggerHook', intervall=1), r'intervall.*\(perhaps interval\)'),
        (dict(type='BadImagesHook', max_bad=1), "'max_bad', expected some of max_bad_images"),
        (dict(type='BadImagesHook', max_bad_images=-1), 'max_bad_images must be .* got -1'),
        (dict(max_bad_images=1), 'must contain the key "type"'),
    ],
)
def test_options_of_hooks(config, words):
    assert re.search(words, exit_of(lambda: HOOKS.build(config)))


class Images(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise ConfigError('cannot read a.png')


def test_an_error_of_ours_in_a_worker_is_one_line():
    with pytest.raises(ConfigError) as raised:
        list(DataLoader(Images(), num_workers=1))
    assert 'Traceback' in str(raised.value)
    assert message_of(raised.value) == 'cannot read a.png'
    assert is_ours(raised.value)


def test_what_is_ours():
    for function in (lambda: build_transform(3), lambda: BadImagesHook(-1)):
        with pytest.raises((TypeError, ValueError)) as raised:
            function()
        assert is_ours(raised.value)
    for function in (lambda: build_transform({1: 2}.pop(3)), lambda: fails(ValueError('theirs'))):
        with pytest.raises((KeyError, ValueError)) as raised:
            function()
        assert not is_ours(raised.value)


def test_the_outermost_error_of_a_kind_is_what_is_said():
    wrapped = ValueError('gradaug.min_width: inner')
    wrapped.__cause__ = ValueError('inner')
    assert message_of(wrapped) == 'gradaug.min_width: inner'


def test_options_taken_are_said_once():
    with pytest.raises(SystemExit) as stopped, one_line_run(), naming('key'):
        HOOKS.build(dict(type='LoggerHook', intervall=1))
    assert str(stopped.value).count('expected some of') == 1


def test_a_misspelt_type_is_told_with_the_right_one():
    for kind in ('SlimableResNet', 'mmdet.models.SlimmableResNet'):
        with pytest.raises(KeyError) as raised:
            MODELS.build(dict(type=kind))
        told = f"type='{kind}' is no model that is registered; write 'SlimmableResNet'"
        assert message_of(raised.value) == told
