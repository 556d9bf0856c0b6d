"""A run that is shorter than its schedule is warned of."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mmgradaug.engine.errors import taken_warnings
from mmgradaug.engine.preflight.schedules import warn_of_cut_schedules

WARM_UP = dict(type='LinearLR', by_epoch=False, begin=0, end=500)
COSINE = dict(type='CosineAnnealingLR', T_max=115, begin=5, by_epoch=True)
STEPS = dict(type='MultiStepLR', milestones=[8, 11], by_epoch=True, end=12)


def warnings_of(schedulers, **loop):
    taken_warnings()
    warn_of_cut_schedules(Config(dict(param_scheduler=schedulers, train_cfg=loop)))
    return taken_warnings()


@pytest.mark.parametrize(
    ('schedulers', 'loop', 'words'),
    [
        ([WARM_UP, COSINE], dict(max_epochs=2), 'param_scheduler.1 (CosineAnnealingLR) goes on to '
         'epoch 120, but training ends after 2 (train_cfg.max_epochs)'),
        (STEPS, dict(max_epochs=6), 'param_scheduler (MultiStepLR) goes on to epoch 12'),
        ([WARM_UP], dict(max_iters=100), 'goes on to iter 500, but training ends after 100'),
    ],
)  # fmt: skip
def test_it_is_told(schedulers, loop, words):
    (text,) = warnings_of(schedulers, **loop)
    assert words in text


@pytest.mark.parametrize(
    ('schedulers', 'loop'),
    [
        ([WARM_UP, COSINE], dict(max_epochs=120)),
        ([WARM_UP, STEPS], dict(max_epochs=36)),
        ([WARM_UP], dict(max_epochs=1)),
        ([], dict(max_epochs=1)),
        (None, dict(max_iters=10)),
        ([WARM_UP, STEPS], dict()),
    ],
)
def test_others_pass(schedulers, loop):
    assert warnings_of(schedulers, **loop) == []


def test_no_recipe_is_cut():
    for path in Path(__file__).parents[3].glob('configs/**/*.py'):
        if '_base_' not in path.parts:
            taken_warnings()
            warn_of_cut_schedules(Config.fromfile(path))
            assert taken_warnings() == [], path
