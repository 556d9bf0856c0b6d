"""Files and links that last."""

from mmgradaug.publishing.writing import link


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
