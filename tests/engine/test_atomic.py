"""Whole files or none, and checkpoints that are told from parts of them."""

import errno
import os

import pytest
import torch

from mmgradaug.engine import atomic
from mmgradaug.engine.atomic import remove_incomplete, write_atomically
from mmgradaug.engine.checkpoint_loading import is_damaged


def test_writes_and_replaces(tmp_path):
    path = tmp_path / 'folder/file'
    write_atomically(b'old', path)
    write_atomically(b'new', path)
    assert path.read_bytes() == b'new'
    assert [p.name for p in path.parent.iterdir()] == ['file']


@pytest.mark.parametrize('fails', ['fsync', 'replace'])
def test_a_failing_write_changes_nothing(tmp_path, monkeypatch, fails):
    def no_space(*args):
        raise OSError(errno.ENOSPC, 'No space left on device')

    path = tmp_path / 'file'
    path.write_bytes(b'old')
    monkeypatch.setattr(atomic.os, fails, no_space)
    with pytest.raises(OSError, match='No space left'):
        write_atomically(b'new', path)
    assert path.read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['file']


def test_leftovers_are_removed_and_nothing_else(tmp_path):
    for name in ('epoch_2.pth.7.incomplete', 'epoch_1.pth', 'last_checkpoint'):
        (tmp_path / name).write_bytes(b'x')
    remove_incomplete(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ['epoch_1.pth', 'last_checkpoint']


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    torch.save({'state_dict': {'weight': torch.rand(1000)}}, path)
    return path


def test_a_whole_checkpoint_is_not_damaged(checkpoint):
    assert not is_damaged(checkpoint)


@pytest.mark.parametrize('share', [0, 0.001, 0.3, 0.9, 0.9999])
def test_part_of_a_checkpoint_is_damaged(checkpoint, share):
    data = checkpoint.read_bytes()
    checkpoint.write_bytes(data[: int(share * len(data))])
    assert is_damaged(checkpoint)


def test_a_flipped_bit_is_seen(checkpoint):
    data = bytearray(checkpoint.read_bytes())
    data[len(data) // 2] ^= 1
    checkpoint.write_bytes(data)
    assert is_damaged(checkpoint)


def test_old_formats_and_missing_files(tmp_path):
    path = tmp_path / 'old.pth'
    torch.save({'weight': torch.rand(3)}, path, _use_new_zipfile_serialization=False)
    assert not is_damaged(path)
    assert is_damaged(tmp_path / 'none.pth')
