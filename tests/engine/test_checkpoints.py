"""What is on the disk at every moment of a run: a complete checkpoint, and a name for it."""

import errno
import os
from pathlib import Path
from unittest import mock

import pytest
import torch
from mmengine.fileio import BaseStorageBackend
from mmengine.hooks import checkpoint_hook

from mmgradaug.checkpoints.damage import is_damaged
from mmgradaug.engine import atomic
from mmgradaug.engine.checkpoints import SafeCheckpointHook
from tests.engine.toy import assert_same, runner, trained, validation

BEST = dict(save_best='score', rule='greater', max_keep_ckpts=1)


def checkpoints(folder):
    return sorted(path.name for path in folder.glob('*.pth'))


def named(folder):
    """The checkpoint that a resume takes."""
    return Path((folder / 'last_checkpoint').read_text()).name


@pytest.fixture
def writes(monkeypatch):
    """Paths written, with what is on the disk once a file has its name."""
    seen = []
    replace = os.replace

    def noted(source, path):
        replace(source, path)
        seen.append((Path(path).name, checkpoints(Path(path).parent)))

    monkeypatch.setattr(atomic.os, 'replace', noted)
    return seen


def full_disk(monkeypatch, *names, number=errno.ENOSPC):
    """Writes of these files fail after half of their bytes, by default for want of space."""

    def half(path, mode):
        file = open(path, mode)  # noqa: SIM115  the caller closes it
        if 'w' in mode and Path(path).name.startswith(names):
            write = file.write

            def no_space(data):
                write(data[: len(data) // 2])
                raise OSError(number, os.strerror(number))

            file.write = no_space
        return file

    monkeypatch.setattr(atomic, 'open', half, raising=False)


def test_the_old_goes_after_the_new_has_come(tmp_path, writes):
    trained(tmp_path, checkpoint=dict(max_keep_ckpts=1))
    assert writes == [
        ('epoch_1.pth', ['epoch_1.pth']),
        ('last_checkpoint', ['epoch_1.pth']),
        ('epoch_2.pth', ['epoch_1.pth', 'epoch_2.pth']),
        ('last_checkpoint', ['epoch_1.pth', 'epoch_2.pth']),
        ('epoch_3.pth', ['epoch_2.pth', 'epoch_3.pth']),
        ('last_checkpoint', ['epoch_2.pth', 'epoch_3.pth']),
    ]
    assert checkpoints(tmp_path) == ['epoch_3.pth']
    assert named(tmp_path) == 'epoch_3.pth'


def test_one_that_a_dying_run_did_not_remove_goes_later(tmp_path):
    trained(tmp_path, stop=7, checkpoint=dict(max_keep_ckpts=1))
    (tmp_path / 'epoch_1.pth').write_bytes(b'dies before it removes this')
    trained(tmp_path, resume=True, checkpoint=dict(max_keep_ckpts=1))
    assert checkpoints(tmp_path) == ['epoch_3.pth']


def test_the_best_goes_after_a_better_one_has_come(tmp_path, writes):
    trained(tmp_path, checkpoint=BEST, **validation())
    best = [[n for n in disk if n[0] == 'b'] for name, disk in writes if name[0] == 'b']
    one, two, three = (f'best_score_epoch_{epoch}.pth' for epoch in (1, 2, 3))
    assert best == [[one], [one, two], [two, three]]
    assert checkpoints(tmp_path) == [three, 'epoch_3.pth']


def test_an_unknown_option_is_named_before_training(tmp_path):
    with pytest.raises(ValueError, match='unknown options intervall, expected some of interval, '):
        trained(tmp_path, checkpoint=dict(intervall=1))


def test_options_of_mmengine_stay(tmp_path):
    options = dict(out_dir=str(tmp_path / 'out'), filename_tmpl='e{}.pth', save_optimizer=False)
    trained(tmp_path / 'run', checkpoint=options | dict(interval=2))
    assert checkpoints(tmp_path / 'out/run') == ['e2.pth', 'e3.pth']
    assert 'optimizer' not in torch.load(tmp_path / 'out/run/e3.pth', weights_only=False)


def test_a_folder_that_cannot_be_written_to_stops_before_the_first_iteration(tmp_path):
    (tmp_path / 'file').touch()
    run = runner(tmp_path / 'run', checkpoint=dict(out_dir=str(tmp_path / 'file')))
    words = r'default_hooks\.checkpoint\.out_dir \S+/file/run: \S+/file is no folder, expected'
    with pytest.raises(OSError, match=words):
        run.train()
    assert run.iter == 0 and not run.model.seen


def test_remote_storage_is_not_made_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    backend = mock.Mock(spec=BaseStorageBackend, join_path=lambda *parts: '/'.join(parts))
    monkeypatch.setattr(checkpoint_hook, 'get_file_backend', lambda *_, **__: backend)
    run = runner(tmp_path / 'run', checkpoint=dict(out_dir='s3://bucket/a'))
    hook = next(hook for hook in run.hooks if isinstance(hook, SafeCheckpointHook))
    monkeypatch.setattr(checkpoint_hook.FileClient, 'infer_client', lambda *_: None)
    hook.before_train(run)
    assert hook.out_dir == 's3://bucket/a/run' and hook.backend_args is None
    assert not (tmp_path / 's3:').exists()


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    whole = trained(tmp_path / 'whole')
    folder = tmp_path / 'run'
    with monkeypatch.context() as patch:
        full_disk(patch, 'epoch_2.pth')
        run = trained(folder, stop=7, checkpoint=dict(max_keep_ckpts=1))
    assert run.iter == 7, 'training has to go on'
    assert not list(folder.glob('*.incomplete'))
    assert checkpoints(folder) == [named(folder)] == ['epoch_1.pth']
    assert not is_damaged(folder / 'epoch_1.pth')
    assert run.message_hub.get_info('keep_ckpt_ids') == [1]
    log = next(folder.glob('*/*.log')).read_text()
    assert 'could not write' in log and 'No space left' in log and 'make space' in log
    resumed = trained(folder, resume=True, checkpoint=dict(max_keep_ckpts=1))
    assert_same(whole, resumed)
    assert checkpoints(folder) == [named(folder)] == ['epoch_3.pth']


def test_a_name_that_cannot_be_written_counts_as_a_failure(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        full_disk(patch, 'last_checkpoint')
        trained(tmp_path, stop=4)
    assert not (tmp_path / 'last_checkpoint').exists()
    trained(tmp_path, resume=True)  # finds the complete one
    assert named(tmp_path) == 'epoch_3.pth'


@pytest.mark.parametrize(
    ('number', 'remedy'),
    [(errno.EDQUOT, 'make space on the disk'), (errno.EROFS, 'see to it that its folder can be')],
)
def test_a_run_whose_result_is_not_written_fails(tmp_path, monkeypatch, number, remedy):
    full_disk(monkeypatch, 'epoch_3.pth', number=number)
    with pytest.raises(OSError, match=rf'last checkpoint is not written.*epoch_2\.pth: {remedy}'):
        trained(tmp_path)
    assert checkpoints(tmp_path) == ['epoch_1.pth', 'epoch_2.pth']


def test_a_best_checkpoint_that_is_not_written_is_not_the_best(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        full_disk(patch, *(f'best_score_epoch_{epoch}.pth' for epoch in (2, 3)))
        run = trained(tmp_path, checkpoint=BEST, **validation())
    best = [name for name in checkpoints(tmp_path) if name.startswith('best')]
    assert best == ['best_score_epoch_1.pth']
    assert Path(run.message_hub.get_info('best_ckpt')).name == best[0]


@pytest.mark.parametrize('content', [b'', None, 'half'])
def test_a_resume_takes_the_newest_complete_one(tmp_path, content):
    whole = trained(tmp_path / 'whole')
    folder = tmp_path / 'run'
    trained(folder, stop=7)
    newest = folder / 'epoch_2.pth'
    data = newest.read_bytes()
    if content is None:
        newest.unlink()
    else:
        newest.write_bytes(data[: len(data) // 2] if content else b'')
    run = runner(folder, resume=True)
    run.train()
    assert len(run.model.seen) == 6, 'two epochs of three batches'
    assert_same(whole, run)
    logs = ''.join(path.read_text() for path in folder.glob('*/*.log'))
    assert 'not a complete checkpoint' in logs


def test_nothing_complete_is_an_error_and_no_new_start(tmp_path):
    trained(tmp_path, stop=4)
    (tmp_path / 'epoch_1.pth').write_bytes(b'PK')
    words = r'no complete checkpoint .*last_checkpoint names .* holds epoch_1\.pth, cut off'
    with pytest.raises(ValueError, match=words):
        trained(tmp_path, resume=True)
    (tmp_path / 'last_checkpoint').unlink()
    with pytest.raises(ValueError, match=r'to resume: \S+ holds epoch_1\.pth, cut off'):
        trained(tmp_path, resume=True)
    (tmp_path / 'epoch_1.pth').unlink()
    assert trained(tmp_path, stop=1, resume=True).iter == 1, 'a run without checkpoints starts anew'


def test_a_damaged_checkpoint_that_was_asked_for_is_an_error(tmp_path):
    trained(tmp_path, stop=7)
    damaged = tmp_path / 'epoch_2.pth'
    damaged.write_bytes(damaged.read_bytes()[:-10])
    with pytest.raises(
        ValueError, match=r'epoch_2\.pth is cut short or damaged, .*epoch_1\.pth is'
    ):
        trained(tmp_path, resume=True, load_from=str(damaged))


def test_leftovers_of_a_killed_write_go(tmp_path):
    trained(tmp_path, stop=4)
    (tmp_path / 'epoch_2.pth.incomplete').write_bytes(b'half')
    trained(tmp_path, resume=True)
    assert not list(tmp_path.glob('*.incomplete'))
