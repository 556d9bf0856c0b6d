"""Files are found where their names are spelt otherwise, and never guessed."""

import os
import unicodedata
from unittest import mock

import pytest

from mmgradaug.engine import file_names
from mmgradaug.engine.file_names import find_file, near_file

COMPOSED, APART = (unicodedata.normalize(form, 'données/é 1.png') for form in ('NFC', 'NFD'))


@pytest.mark.parametrize(('there', 'named'), [
    ('images/0001.png', 'images\\0001.png'), ('images\\0001.png', 'images/0001.png'),
    ('a/b\\c/0001.png', 'a\\b/c\\0001.png'),
    ('Images/IMG_1.JPG', 'images/img_1.jpg'),
    ('my images/a 1.png', 'my%20images/a%201.png'),
    ('a%20b%5Cc.png', 'a b/c.png'), ('a b.png', 'a%2520b.png'),
    ('100%.png', '100%25.png'), (APART, COMPOSED),
    (COMPOSED, APART.replace('/', '\\').upper()),
])  # fmt: skip
def test_a_name_spelt_otherwise_is_found(tmp_path, monkeypatch, there, named):
    path = tmp_path / there
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    assert find_file(str(path)) == str(path)
    assert find_file(f'{tmp_path}/{named}') == str(path)
    monkeypatch.chdir(tmp_path)
    assert os.path.samefile(find_file(named), path)
    assert near_file(str(path)) == ''


def test_several_files_are_not_guessed_and_near_ones_are_named(tmp_path):
    for name in ('a.png', 'A.png', 'sub/b_001.jpg', 'c_001.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    root = str(tmp_path)
    for named, words in (
        ('A.PNG', f'there are {root}/A.png and {root}/a.png: which one is meant'),
        ('C:\\Users\\me\\c_001.png', f"did you mean '{root}/c_001.png'"),
        ('sub/b_001.png', f"did you mean '{root}/sub/b_001.jpg'"),
        ('c_0001.png', "did you mean 'c_001.png'"),
    ):
        assert find_file(f'{root}/{named}') == f'{root}/{named}'
        assert words in near_file(f'{root}/{named}')
    for nothing in (f'{root}/zzz.png', f'{root}/no/folder.png', 's3://bucket/A.PNG', 'zzz.png', ''):
        assert (find_file(nothing), near_file(nothing)) == (nothing, '')
    assert find_file(f'{root}/a.png') == f'{root}/a.png'


def test_a_folder_is_listed_once_and_again_when_it_changes(tmp_path, monkeypatch):
    listdir = mock.Mock(wraps=os.listdir)
    monkeypatch.setattr(file_names.os, 'listdir', listdir)
    for number in range(3):
        (tmp_path / f'{number}.png').touch()
    os.utime(tmp_path, (1, 1))
    for number in range(3):
        assert find_file(f'{tmp_path}/{number}.PNG').endswith(f'{number}.png')
    listdir.assert_called_once()
    (tmp_path / '3.png').touch()
    assert find_file(f'{tmp_path}/3.PNG').endswith('3.png')
