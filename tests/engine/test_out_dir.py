from argparse import Namespace
from pathlib import Path

import pytest

from mmgradaug.engine.mmdet_tools import _try_outputs
from mmgradaug.engine.out_dir import make_out_dir, make_out_file

NOWHERE = Path('/proc/nonesuch')  # not even root makes it


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    for _ in range(2):
        assert make_out_dir('--out', tmp_path / 'a/b') == tmp_path / 'a/b'
    assert (tmp_path / 'a/b').is_dir() and not list((tmp_path / 'a/b').iterdir())
    file = tmp_path / 'file'
    file.touch()
    reasons = {
        file: 'it is no folder',
        file / 'below/it': f'{file} is no folder',
        NOWHERE: 'No such file or directory in /proc',
        Path('/proc'): 'No such file or directory in /proc',
    }
    for path, reason in reasons.items():
        words = f'^--out {path}: {reason}, expected a folder for the results: name another$'
        with pytest.raises(OSError, match=words):
            make_out_dir('--out', path)


def test_a_file_that_cannot_be_written_is_an_error(tmp_path):
    page = tmp_path / 'a/page.html'
    assert make_out_file('--out', page, 'the page') == page
    assert not list(page.parent.iterdir())
    page.write_text('kept')
    assert make_out_file('--out', page).read_text() == 'kept'
    for path, reason in {tmp_path: 'it is a folder', NOWHERE: '.* in /proc'}.items():
        with pytest.raises(OSError, match=f'^--out {path}: {reason}, expected a file for it: name'):
            make_out_file('--out', path, 'it')
    with pytest.raises(OSError, match=f'{page} is no folder'):
        make_out_file('--out', page / 'below')


def test_what_testing_writes_is_tried_before_it_starts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _try_outputs(Namespace(config='a.py'))  # of training
    _try_outputs(Namespace(out=None, show_dir=None))
    _try_outputs(Namespace(out='new/a.pkl', show_dir='below'))
    assert not any((tmp_path / 'new').iterdir()) and not (tmp_path / 'below').exists()
    for outputs in ({'out': f'{NOWHERE}.pkl'}, {'show_dir': str(NOWHERE)}):
        option = '--' + next(iter(outputs)).replace('_', '-')
        with pytest.raises(OSError, match=f'^{option} {NOWHERE}.*: name another$'):
            _try_outputs(Namespace(**outputs))
