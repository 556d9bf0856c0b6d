"""Whole files or none."""

import errno
import os

import pytest

from mmgradaug.engine import atomic
from mmgradaug.engine.atomic import write_atomically


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
