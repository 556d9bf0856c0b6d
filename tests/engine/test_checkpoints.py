"""What is on the disk at every moment of a run: a complete checkpoint, and a name for it."""

import errno
import os
from pathlib import Path
from unittest import mock

import pytest
import torch
from mmengine.fileio import BaseStorageBackend
from mmengine.hooks import checkpoint_hook

from mmgradaug.engine import atomic
from mmgradaug.engine.checkpoint_loading import is_damaged
from mmgradaug.engine.hooks import SafeCheckpointHook, VersionsHook
from mmgradaug.errors import ConfigError
from tests.engine.killing import half_open
from tests.engine.toy import assert_same, runner, trained, validation


def checkpoints(folder):
    return sorted(path.name for path in folder.glob('*.pth'))


def named(folder):
    """The checkpoint that a resume takes."""
    return Path((folder / 'last_checkpoint').read_text()).name


def no_space(*args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize('fails', ['fsync', 'replace'])
def test_a_failing_write_changes_nothing(tmp_path, monkeypatch, fails):
    path = tmp_path / 'file'
    path.write_bytes(b'old')
    monkeypatch.setattr(atomic.os, fails, no_space)
    with pytest.raises(OSError, match='No space left'):
        atomic.write_atomically(b'new', path)
    assert path.read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['file']


@pytest.fixture
def writes(monkeypatch):
    """Checkpoints written, with what is on the disk once a file has its name."""
    seen = []
    replace = os.replace

    def noted(source, path):
        replace(source, path)
        seen.append((Path(path).name, checkpoints(Path(path).parent)))

    monkeypatch.setattr(atomic.os, 'replace', noted)
    return seen


def test_the_old_goes_after_the_new_has_come(tmp_path, writes):
    trained(tmp_path, checkpoint=dict(max_keep_ckpts=1))
    one, two, three = (f'epoch_{epoch}.pth' for epoch in (1, 2, 3))
    assert writes == [(one, [one]), (two, [one, two]), (three, [two, three])]
    assert checkpoints(tmp_path) == [named(tmp_path)] == [three]


def test_the_best_goes_after_a_better_one_has_come(tmp_path, writes):
    trained(tmp_path, **validation())
    best = [[n for n in disk if n[0] == 'b'] for name, disk in writes if name[0] == 'b']
    one, two, three = (f'best_score_epoch_{epoch}.pth' for epoch in (1, 2, 3))
    assert best == [[one], [one, two], [two, three]]
    assert checkpoints(tmp_path) == [three, 'epoch_3.pth']


def test_options_of_mmengine_stay(tmp_path):
    options = dict(out_dir=str(tmp_path / 'out'), filename_tmpl='e{}.pth', save_optimizer=False)
    trained(tmp_path / 'run', checkpoint=options | dict(interval=2))
    assert checkpoints(tmp_path / 'out/run') == ['e2.pth', 'e3.pth']
    assert 'optimizer' not in torch.load(tmp_path / 'out/run/e3.pth', weights_only=False)


def test_a_folder_that_cannot_be_made_stops_before_the_first_iteration(tmp_path):
    (tmp_path / 'file').touch()
    run = runner(tmp_path / 'run', checkpoint=dict(out_dir=str(tmp_path / 'file')))
    words = r'cannot write a checkpoint to \S+/file/run: .*Not a dir'
    with pytest.raises(ConfigError, match=words):
        run.train()
    assert run.iter == 0 and not run.model.seen


def test_remote_storage_is_not_made_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    backend = mock.Mock(spec=BaseStorageBackend, join_path=lambda *parts: '/'.join(parts))
    monkeypatch.setattr(checkpoint_hook, 'get_file_backend', lambda *_, **__: backend)
    hook = SafeCheckpointHook(out_dir='s3://bucket/a')
    monkeypatch.setattr(checkpoint_hook.FileClient, 'infer_client', lambda *_: None)
    hook.before_train(mock.Mock(work_dir='run'))
    assert hook.out_dir == 's3://bucket/a/run' and hook.backend_args is None
    assert not (tmp_path / 's3:').exists()


@pytest.mark.parametrize(('name', 'left'), [
    ('epoch_2.pth', ['best_score_epoch_1.pth', 'epoch_1.pth']),
    ('best_score_epoch_2.pth', ['best_score_epoch_1.pth', 'epoch_2.pth']),
])  # fmt: skip
def test_a_full_disk_ends_the_run_and_loses_nothing(tmp_path, monkeypatch, name, left):
    whole = trained(tmp_path / 'whole', **validation())
    folder = tmp_path / 'run'
    with monkeypatch.context() as patch:
        spoiled = half_open(lambda path: path.name.startswith(name), no_space)
        patch.setattr(atomic, 'open', spoiled, raising=False)
        words = r'cannot write a checkpoint to .*No space left.*make space .*--resume'
        with pytest.raises(ConfigError, match=words):
            trained(folder, **validation())
    assert not list(folder.glob('*.incomplete'))
    assert checkpoints(folder) == left and named(folder) == left[1]
    assert not any(is_damaged(folder / path) for path in left)
    assert_same(whole, trained(folder, resume=True, **validation()))
    assert checkpoints(folder) == checkpoints(tmp_path / 'whole')


@pytest.mark.parametrize(('name', 'damage'), [
    ('epoch_2.pth', Path.unlink),
    ('epoch_2.pth', lambda path: os.truncate(path, path.stat().st_size // 2)),
    ('last_checkpoint', lambda path: path.write_bytes(b'')),
], ids=['missing', 'half', 'empty'])  # fmt: skip
def test_a_resume_takes_the_newest_complete_one(tmp_path, name, damage):
    whole = trained(tmp_path / 'whole')
    folder = tmp_path / 'run'
    trained(folder, stop=7)
    damage(folder / name)
    run = runner(folder, resume=True)
    run.train()
    epochs = 1 if name == 'last_checkpoint' else 2
    assert len(run.model.seen) == 3 * epochs, 'batches'
    assert_same(whole, run)
    logs = ''.join(path.read_text() for path in folder.glob('*/*.log'))
    assert 'not a complete checkpoint' in logs


def test_nothing_complete_is_an_error_and_no_new_start(tmp_path):
    trained(tmp_path, stop=4)
    (tmp_path / 'epoch_1.pth').write_bytes(b'PK')
    for pointer in (True, False):
        if not pointer:
            (tmp_path / 'last_checkpoint').unlink()
        with pytest.raises(ConfigError, match=r'no complete checkpoint .*epoch_1\.pth missing or'):
            trained(tmp_path, resume=True)
    (tmp_path / 'epoch_1.pth').unlink()
    assert trained(tmp_path, stop=1, resume=True).iter == 1, 'a run without checkpoints starts anew'


def test_nothing_to_resume_and_nothing_left_to_train_are_said(tmp_path, capfd):
    versions = (VersionsHook(),)
    too_long = dict(type='LinearLR', by_epoch=False, end=10)
    trained(tmp_path / 'old', hooks=versions, scheduler=too_long)
    out, err = capfd.readouterr()
    assert 'LinearLR of param_scheduler ends at iteration 10, but training at 9: ' in out + err
    assert 'warning' not in err
    (tmp_path / 'note').write_text('no run')
    trained(tmp_path / 'new', resume=True, hooks=versions)
    near = f'checkpoints are in {tmp_path}/old (--work-dir)'
    said = f'warning: nothing to resume in {tmp_path}/new: training starts anew; {near}\n'
    assert capfd.readouterr().err == said
    assert trained(tmp_path / 'new', resume=True, hooks=versions).iter == 9
    out, said = capfd.readouterr()
    assert 'goes on as in' not in out
    assert f'the run in {tmp_path}/new is finished (epoch 3 of 3): nothing is left' in said
    shorter = dict(type='CosineAnnealingLR', by_epoch=False, T_max=9)
    trained(tmp_path / 'cosine', stop=5, hooks=versions, scheduler=shorter)
    longer = dict(shorter, T_max=18)
    trained(tmp_path / 'cosine', resume=True, hooks=versions, scheduler=longer)
    words = 'CosineAnnealingLR of param_scheduler goes on as in the checkpoint, T_max 9, not 18'
    assert words in capfd.readouterr().out
    more = dict(by_epoch=False, max_iters=9)
    trained(tmp_path / 'new', resume=True, hooks=versions, train_cfg=more)
    assert 'is finished (iter 9 of 9)' in capfd.readouterr().err
    trained(tmp_path / 'new', resume=True, hooks=versions, train_cfg=dict(more, max_iters=10))
    assert capfd.readouterr().err == ''


PLATEAU = dict(type='ReduceOnPlateauLR', monitor='score', rule='less', factor=0.1, patience=0)


@pytest.mark.parametrize('epoch', [1, 2])
def test_a_run_that_dies_in_a_validation_catches_up(tmp_path, epoch):
    """Its best checkpoint, and the weights that a scheduler makes depend on the metric."""
    whole = trained(tmp_path / 'whole', scheduler=PLATEAU, **validation())
    assert whole.optim_wrapper.get_lr()['lr'][0] < 0.1, 'the scheduler has to matter'
    trained(tmp_path / 'died', scheduler=PLATEAU, **validation(stop=epoch))
    best = f'best_score_epoch_{epoch}.pth'
    assert checkpoints(tmp_path / 'died') == [best, f'epoch_{epoch + 1}.pth']
    resumed = trained(tmp_path / 'died', resume=True, scheduler=PLATEAU, **validation())
    assert_same(whole, resumed)
    found = [checkpoints(tmp_path / name) for name in ('whole', 'died')]
    assert found == [['best_score_epoch_3.pth', 'epoch_3.pth']] * 2


@pytest.mark.parametrize(('interval', 'then', 'died'), [
    # mmengine changes it between a checkpoint and its validation: due at once, or not at all.
    (10, [(2, 1)], None), (1, [(3, 10)], 7),
    # Validated, and the checkpoint written again after it, with the better score.
    (1, None, 4), (1, None, 5),
])  # fmt: skip
def test_validations_are_due_once_or_not_at_all(tmp_path, interval, then, died):
    loop = dict(by_epoch=True, max_epochs=3, val_interval=interval, dynamic_intervals=then)
    options = dict(scheduler=PLATEAU, train_cfg=loop)
    whole = trained(tmp_path / 'whole', **options, **validation())
    trained(tmp_path / 'died', stop=died, **options, **validation(stop=None if died else 0))
    assert_same(whole, trained(tmp_path / 'died', resume=True, **options, **validation()))
    assert checkpoints(tmp_path / 'died') == checkpoints(tmp_path / 'whole')
