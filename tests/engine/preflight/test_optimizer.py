"""Numbers that an optimizer cannot use are refused before anything is built."""

import re

import pytest
from mmengine.config import Config

from mmgradaug.engine.preflight.optimizer import check_optimizer


def wrapper(optimizer=None, **options):
    chosen = dict(type='SGD', lr=0.01) | (optimizer or {})
    return Config(dict(optim_wrapper=dict(optimizer=chosen, **options)))


@pytest.mark.parametrize(
    'cfg',
    [
        wrapper(),
        wrapper(dict(type='AdamW', betas=[0.9, 0.99])),
        wrapper(clip_grad=dict(max_norm=35, norm_type=2), accumulative_counts=2),
        wrapper(clip_grad=dict(type='value', clip_value=0.5)),
        wrapper(dict(lr='auto'), constructor='MyOwn'),
        wrapper(dict(type='LBFGS', line_search_fn='strong_wolfe')),
        Config(dict(optim_wrapper=None)),
    ],
)
def test_what_works_passes(cfg):
    check_optimizer(cfg)


@pytest.mark.parametrize(
    ('cfg', 'words'),
    [
        (wrapper(dict(lr=-1)), r'optim_wrapper\.optimizer: Invalid learning rate: -1, expected'),
        (wrapper(dict(lr=float('nan'))), r'optim_wrapper\.optimizer\.lr=nan, expected a finite'),
        (wrapper(dict(lr='fast')), r"optimizer\.lr='fast', expected a number such as 0\.01"),
        (wrapper(dict(momentum='0.9')), r"optimizer\.momentum='0\.9', expected a number"),
        (wrapper(dict(momentum=-0.9)), 'Invalid momentum value: -0.9'),
        (wrapper(dict(type='AdamW', betas=(1.5, 0.9))), 'Invalid beta parameter at index 0: 1.5'),
        (wrapper(dict(weight_decai=1e-4)), r'weight_decai.*\(perhaps weight_decay\)'),
        (wrapper(dict(type='SGDD')), "type='SGDD' is not a registered optimizer"),
        (wrapper(clip_grad=dict(max_norm=-1)), r'clip_grad\.max_norm=-1, expected a number > 0'),
        (wrapper(accumulative_counts=0), r'accumulative_counts=0, expected a whole number >= 1'),
    ],
)
def test_what_does_not_is_named(cfg, words):
    with pytest.raises(ValueError, match=words) as error:
        check_optimizer(cfg)
    assert re.match('optim_wrapper[.]', str(error.value))
