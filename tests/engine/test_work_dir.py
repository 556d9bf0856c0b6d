from pathlib import Path

import pytest

from mmgradaug.engine.work_dir import make_work_dir


def test_a_work_dir_that_cannot_be_made_is_an_error(tmp_path):
    make_work_dir(tmp_path / 'a' / 'b')
    make_work_dir(tmp_path / 'a' / 'b')
    assert (tmp_path / 'a' / 'b').is_dir()
    (tmp_path / 'file').touch()
    for path in (tmp_path / 'file', tmp_path / 'file' / 'below', Path('/proc/nonesuch')):
        with pytest.raises(OSError, match=f'--work-dir {path}: .*: name another'):
            make_work_dir(path)
