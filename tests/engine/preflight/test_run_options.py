"""Options at which a run would stumble without naming them."""

import copy
import re
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.hooks import LoggerHook

from mmgradaug.classification.metrics import TopKAccuracy
from mmgradaug.engine.preflight import check_run
from mmgradaug.engine.preflight.image_classes import check_classes
from mmgradaug.engine.preflight.run_options import check_run_options

LOOPS = ('train', 'val')
WHOLE = Config(
    dict(
        default_hooks=dict(logger=dict(type='LoggerHook'), timer=None, checkpoint=LoggerHook()),
        randomness=dict(seed=0),
        auto_scale_lr=dict(enable=True, base_batch_size=16),
        log_level='INFO',
        env_cfg=dict(mp_cfg=dict(mp_start_method='fork')),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=1e4, val_interval=10),
        val_cfg=dict(type='mmdet.TeacherStudentValLoop'),
        test_cfg=dict(type='NoSuchLoop', colour=3),  # mmengine says so
        model=dict(
            bbox_head=[dict(num_classes=3, loss_cls=dict(num_classes=-1))],
            data_preprocessor=dict(pad_size_divisor=32),
        ),
    )
)


def test_what_runs_is_let_through():
    check_run_options(WHOLE, (*LOOPS, 'test'))
    check_run_options(Config(dict(train_cfg=None, default_hooks=None, model=None)), LOOPS)


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ({'randomness.seed': 'abc'}, "randomness.seed='abc', expected None or a whole number from"),
        ({'randomness.seed': -1}, 'randomness.seed=-1, '),
        ({'auto_scale_lr.base_batch_size': 0}, 'base_batch_size=0, expected a whole number of im'),
        ({'log_level': 'LOUD'}, "log_level='LOUD', expected one of DEBUG, INFO"),
        ({'env_cfg.mp_cfg.mp_start_method': 'frok'}, "mp_start_method='frok', expected one of "),
        ({'default_hooks': 1}, 'default_hooks=1, expected a dict'),
        ({'default_hooks.logger': 1}, 'default_hooks.logger=1, expected None or a dict'),
        ({'train_cfg.max_iters': 0}, 'train_cfg.max_iters=0, expected a whole number >= 1'),
        ({'train_cfg.val_interval': 0}, 'train_cfg.val_interval=0, '),
        ({'train_cfg.max_iter': 3}, 'max_iter=3, expected some of max_iters, '),
        ({'train_cfg': dict(max_epochs=3)}, "train_cfg={'max_epochs': 3}, expected a type such as"),
        ({'val_cfg': dict(fp=True)}, 'val_cfg.fp=True, expected some of fp16'),
        ({'model.bbox_head.0.num_classes': 0}, 'model.bbox_head.0.num_classes=0, expected a whole'),
        ({'model.data_preprocessor.pad_size_divisor': 0}, 'pad_size_divisor=0, expected a whole'),
    ],
)
def test_what_would_stop_a_run_is_named(options, words):
    cfg = copy.deepcopy(WHOLE)
    for key, value in options.items():
        cfg.merge_from_dict({f'{key}._delete_': True} if isinstance(value, dict) else {})
        cfg.merge_from_dict({key: value})
    with pytest.raises(ValueError, match=re.escape(words)):
        check_run_options(cfg, LOOPS)


def test_they_are_checked_before_a_run(cfg):
    cfg.randomness = dict(seed='abc')
    with pytest.raises(ValueError, match=r"randomness\.seed='abc'"):
        check_run(cfg, LOOPS)


@pytest.mark.parametrize(('classes', 'warned'), [('abc', True), ('abcde', True), ('abcdef', False)])
def test_accuracies_that_no_image_can_fail_are_warned_of(capsys, classes, warned):
    dataset = SimpleNamespace(metainfo=dict(classes=classes))
    loop = SimpleNamespace(
        dataloader=SimpleNamespace(dataset=dataset),
        evaluator=SimpleNamespace(metrics=[TopKAccuracy((1, 5))]),
    )
    model = SimpleNamespace(num_classes=len(classes))
    check_classes(SimpleNamespace(model=model, cfg=Config(), val_loop=loop), ('val',))
    told = f'val_evaluator.topk=(1, 5): of {len(classes)} classes the right one is always among'
    assert (told in capsys.readouterr().err) == warned
