"""What is probably meant by a name that is not there."""

from mmgradaug.near_names import near_path


def test_near_names_of_files_and_of_their_folders(tmp_path):
    folder = tmp_path / 'coco' / 'annotations'
    folder.mkdir(parents=True)
    (folder / 'instances_train2017.json').touch()
    (folder / 'link.json').symlink_to('nowhere')
    near = f' (perhaps {folder / "instances_train2017.json"})'
    assert near_path(folder / 'instance_train2017.json') == near
    assert near_path(folder / 'captions.json') == ''
    assert near_path(folder / 'link.json') == ''  # which is there, and leads nowhere
    assert near_path(tmp_path / 'cocos/annotations/a.json') == f' (perhaps {tmp_path / "coco"})'
    assert near_path(tmp_path / 'voc/annotations/a.json') == ''
    assert near_path(folder / 'link.json/a.json') == ''
