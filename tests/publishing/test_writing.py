"""Published files: their origin, files and links that last."""

import os

import pytest

from mmgradaug.errors import ConfigError
from mmgradaug.publishing.source import Cut, Source
from mmgradaug.publishing.writing import link, record_of


def test_a_file_without_a_run_is_named_by_its_place(tmp_path):
    source = Source(tmp_path / 'mine/weights.pth', {}, {}, None)
    assert record_of(source, Cut())['config'] == 'mine_weights'


def test_a_link_in_a_linked_folder_leads_to_the_file(tmp_path):
    """As where ``pretrained`` is a folder of a larger disk."""
    for folder in ('disk/pretrained', 'project/work_dirs'):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / 'project/pretrained').symlink_to(tmp_path / 'disk/pretrained')
    path = tmp_path / 'project/work_dirs/a.pth'
    path.write_bytes(b'weights')
    name = tmp_path / 'project/pretrained/b.pth'
    for _ in range(2):
        link(path, name)
        assert name.read_bytes() == b'weights'


def test_only_a_link_is_ever_replaced(tmp_path):
    file, name = tmp_path / 'notes.txt', tmp_path / 'pretrained/a.pth'
    file.write_text('mine')
    for there in (file, tmp_path):
        with pytest.raises(ConfigError, match=f'--link {there} exists and is no link'):
            link(tmp_path / 'b.pth', there)
    assert file.read_text() == 'mine'
    link(tmp_path / 'b.pth', name)
    assert os.readlink(name) == '../b.pth'
    link(file, name)
    assert name.read_text() == 'mine'
    assert [path.name for path in name.parent.iterdir()] == ['a.pth']
