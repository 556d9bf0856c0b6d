import argparse
import os

import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmgradaug.engine.preflight import check_run
from mmgradaug.engine.preflight.checkpoints import (
    CheckpointUse,
    checkpoint_use,
    load_weights,
    misfit_of,
)
from tests.networks import build, stock_config


class Opener:
    """Does something where a file is read by executing it."""

    def __reduce__(self):
        return os.mkdir, ('was-executed',)


@pytest.fixture(scope='module')
def states(detector):
    """Weights of the GradAug detector and of the stock one."""
    return build(detector).state_dict(), build(stock_config(detector)).state_dict()


@pytest.fixture
def saved(tmp_path, states):
    """Write a checkpoint: ``saved(extra entries, weights)``."""

    def save(extra=None, weights=None):
        path = tmp_path / 'epoch_1.pth'
        weights = dict(states[0]) if weights is None else weights
        torch.save({'state_dict': weights, **(extra or {})}, path)
        return path

    return save


def check(cfg, path, purpose):
    loops = ('test',) if purpose == 'test' else ('train',)
    check_run(cfg, loops, CheckpointUse(path, purpose, '--key'))


def fails(cfg, path, words, purpose='test', error=ValueError):
    with pytest.raises(error, match=words) as raised:
        check(cfg, path, purpose)
    assert '--key' in str(raised.value)
    assert str(path) in str(raised.value)


RUN = dict(meta=dict(epoch=1), message_hub=dict(buffer=HistoryBuffer([1.0], [1])))


def test_whole_checkpoints_pass(cfg, saved, states, capsys):
    check(cfg, saved(RUN), 'test')
    check(cfg, saved(RUN), 'resume')
    check(cfg, saved(weights=states[1]), 'test')  # the stock detector's
    check(cfg, saved(weights={f'module.{k}': v for k, v in states[0].items()}), 'start')
    assert capsys.readouterr().err == ''


def test_missing_file(cfg, tmp_path):
    fails(cfg, tmp_path / 'none.pth', 'no checkpoint at', error=FileNotFoundError)


@pytest.mark.parametrize('share', [0.0, 0.01, 0.5, 0.999])
@pytest.mark.parametrize('zipped', [True, False])
def test_half_written_files(cfg, saved, states, share, zipped):
    path = saved()
    torch.save({'state_dict': states[0]}, path, _use_new_zipfile_serialization=zipped)
    check(cfg, path, 'test')
    os.truncate(path, int(path.stat().st_size * share))
    fails(cfg, path, 'cut short or no checkpoint')


@pytest.mark.parametrize('content', [b'<html>404</html>', b'PK\x03\x04' + bytes(99), bytes(999)])
def test_files_of_other_kinds(cfg, tmp_path, content):
    path = tmp_path / 'weights.pth'
    path.write_bytes(content)
    fails(cfg, path, 'no checkpoint')


def test_nothing_is_executed(cfg, saved, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    fails(cfg, saved(dict(meta=Opener())), 'holds posix.mkdir, expected tensors')
    assert not (tmp_path / 'was-executed').exists()


def test_contents_without_weights(cfg, saved, tmp_path):
    fails_in = tmp_path / 'other.pth'
    torch.save([1, 2], fails_in)
    fails(cfg, fails_in, 'holds a list')
    torch.save(dict(epoch=3), fails_in)
    with pytest.raises(ValueError, match=r'no weights \(its keys: epoch\)'):
        check(cfg, fails_in, 'test')


def test_weights_of_another_network(cfg, saved, states, detector, capsys):
    weights = dict(states[0])
    del weights['backbone.conv1.weight']
    weights['neck.fpn_convs.0.conv.bias'] = torch.zeros(5)
    weights['extra.weight'] = torch.zeros(1)
    words = (
        rf'of {len(states[0])} entries 1 missing \(backbone\.conv1\.weight\); 1 of another shape '
        r'\(neck\.fpn_convs\.0\.conv\.bias\); 1 unexpected \(extra\.weight\)'
    )
    path = saved(RUN, weights)
    for purpose in ('test', 'resume', 'start'):
        fails(cfg, path, words, purpose)


def test_more_weights_than_the_model_has(cfg, saved, states, capsys):
    weights = {**states[0], 'roi_head.second_head.weight': torch.zeros(1)}
    check(cfg, saved(RUN, weights), 'test')
    assert '1 unexpected (roi_head.second_head.weight)' in capsys.readouterr().err
    fails(cfg, saved(RUN, weights), 'another network', 'resume')
    deeper = {**states[0], 'backbone.layer4.7.conv1.weight': torch.zeros(1)}
    fails(cfg, saved(RUN, deeper), 'another network', 'start')


def test_fine_tuning_may_change_the_heads(cfg, saved, states, capsys):
    weights = {
        k: torch.zeros(7) if k.startswith('roi_head.bbox_head.fc_') else v
        for k, v in states[0].items()
    }
    check(cfg, saved(weights=weights), 'start')
    assert '4 of another shape' in capsys.readouterr().err
    fails(cfg, saved(weights=weights), 'another network', 'test')
    fails(cfg, saved(weights={'a': torch.zeros(1)}), 'another network', 'start')


def test_resuming_needs_the_state_of_a_run(cfg, saved):
    fails(cfg, saved(), 'has no meta and no message_hub: it holds weights', 'resume')


def test_averages_are_not_gone_on_from_without_averaging(cfg, saved, states, capsys):
    averaged = saved(RUN | dict(ema_state_dict=dict(states[0])))
    fails(cfg, averaged, 'is of a run that averages its weights, and this one does not', 'resume')
    check(cfg, averaged, 'start')
    averaging = dict(ema=dict(type='EMAHook', momentum=1e-4))
    cfg.merge_from_dict(dict(default_hooks=averaging))
    check(cfg, averaged, 'resume')


def test_old_files_lack_counters(states, detector):
    weights = {k: v for k, v in states[0].items() if 'num_batches_tracked' not in k}
    assert len(weights) < len(states[0])
    assert misfit_of(build(detector), weights).missing == []


def test_load_weights_loads_them(saved, states, detector):
    model = build(detector, seed=5)
    load_weights(model, str(saved()))
    assert all(torch.equal(v, states[0][k]) for k, v in model.state_dict().items())


def test_where_a_checkpoint_is_named(cfg, tmp_path):
    def use(**options):
        found = checkpoint_use(cfg, argparse.Namespace(**options), tmp_path)
        return found and (str(found.path), found.purpose, found.key)

    assert use(checkpoint='a.pth') == ('a.pth', 'test', 'CHECKPOINT')
    assert use(checkpoint='https://host/a.pth') is None
    assert use(resume='a.pth') == ('a.pth', 'resume', '--resume')
    assert use(resume=None) is None
    assert use(resume='auto') is None  # nothing to resume yet: a fresh start
    latest = tmp_path / 'last_checkpoint'
    newest = tmp_path / 'epoch_3.pth'
    latest.write_text(f'{newest}\n')
    assert use(resume='auto') is None  # the run falls back to an older one
    torch.save({}, newest)
    assert use(resume='auto') == (str(newest), 'resume', str(latest))
    cfg.resume = True
    assert use(resume=None) == (str(newest), 'resume', str(latest))
    cfg.load_from = 'b.pth'
    assert use(resume=None) == ('b.pth', 'resume', 'load_from')
    cfg.resume = False
    assert use(resume=None) == ('b.pth', 'start', 'load_from')
