"""Files and links that last."""

import os

import pytest

from mmgradaug.publishing.writing import check_link, link, write


def test_a_link_in_a_linked_folder_leads_to_the_file(tmp_path):
    """As where ``pretrained`` is a folder of a larger disk."""
    for folder in ('disk/pretrained', 'project/work_dirs'):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / 'project/pretrained').symlink_to(tmp_path / 'disk/pretrained')
    path = tmp_path / 'project/work_dirs/a.pth'
    path.write_bytes(b'weights')
    name = link(path, tmp_path / 'project/pretrained/b.pth', overwrite=False)
    assert name.read_bytes() == b'weights'
    assert link(path, name, overwrite=False) == name  # it is there already


def test_only_a_link_is_ever_replaced(tmp_path):
    file, name = tmp_path / 'notes.txt', tmp_path / 'pretrained/a.pth'
    file.write_text('mine')
    for there, kind in ((file, 'file'), (tmp_path, 'folder')):
        for make in (check_link, lambda *a: link(tmp_path / 'b.pth', *a)):
            with pytest.raises(FileExistsError, match=f'--link {there} is a {kind}, expected'):
                make(there, True)
    assert file.read_text() == 'mine'
    check_link(name, False)  # before there is anything to lead to
    assert not os.path.lexists(name)
    link(tmp_path / 'b.pth', name, overwrite=False)
    for make in (check_link, lambda *a: link(file, *a)):
        with pytest.raises(FileExistsError, match=r'leads to \.\./b\.pth: give --overwrite'):
            make(name, False)
    assert link(file, name, overwrite=True).read_text() == 'mine'
    with pytest.raises(
        OSError, match=r'folder of --link \S+/a\.pth, \S+notes\.txt: it is no folder'
    ):
        check_link(file / 'a.pth', True)


def test_the_same_contents_are_written_once(tmp_path):
    path = write(b'weights', tmp_path / 'a.pth', overwrite=False)
    before = path.stat().st_ino
    assert write(b'weights', path, overwrite=False) == path
    assert path.stat().st_ino == before
    with pytest.raises(FileExistsError, match=r'a\.pth exists and holds something else: give --ov'):
        write(b'others', path, overwrite=False)
    assert write(b'others', path, overwrite=True).read_bytes() == b'others'
