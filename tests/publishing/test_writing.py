"""Files and links that last."""

import os

import pytest

from mmgradaug.errors import ConfigError
from mmgradaug.publishing.writing import link, write


def test_a_link_in_a_linked_folder_leads_to_the_file(tmp_path):
    """As where ``pretrained`` is a folder of a larger disk."""
    for folder in ('disk/pretrained', 'project/work_dirs'):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / 'project/pretrained').symlink_to(tmp_path / 'disk/pretrained')
    path = tmp_path / 'project/work_dirs/a.pth'
    path.write_bytes(b'weights')
    name = tmp_path / 'project/pretrained/b.pth'
    for _ in range(2):  # the second time it is there already
        link(path, name, overwrite=False)
        assert name.read_bytes() == b'weights'


def test_only_a_link_is_ever_replaced(tmp_path):
    file, name = tmp_path / 'notes.txt', tmp_path / 'pretrained/a.pth'
    file.write_text('mine')
    for there in (file, tmp_path):
        with pytest.raises(ConfigError, match=f'--link {there} exists, expected nothing there'):
            link(tmp_path / 'b.pth', there, overwrite=True)
    assert file.read_text() == 'mine'
    link(tmp_path / 'b.pth', name, overwrite=False)
    with pytest.raises(ConfigError, match='--overwrite to replace it if it is a link'):
        link(file, name, overwrite=False)
    assert os.readlink(name) == '../b.pth'
    link(file, name, overwrite=True)
    assert name.read_text() == 'mine'
    assert [path.name for path in name.parent.iterdir()] == ['a.pth']


def test_the_same_contents_are_written_once(tmp_path):
    path = write(b'weights', tmp_path / 'a.pth', overwrite=False)
    before = path.stat().st_ino
    assert write(b'weights', path, overwrite=False) == path
    assert path.stat().st_ino == before
    with pytest.raises(ConfigError, match=r'a\.pth exists and holds something else: give --ov'):
        write(b'others', path, overwrite=False)
    assert write(b'others', path, overwrite=True).read_bytes() == b'others'
