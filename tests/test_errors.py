"""What is probably meant by a name that is not there."""

from mmgradaug.errors import path_suggestion


def test_suggestions_of_files_and_of_their_folders(tmp_path):
    folder = tmp_path / 'coco' / 'annotations'
    folder.mkdir(parents=True)
    (folder / 'instances_train2017.json').touch()
    (folder / 'link.json').symlink_to('nowhere')
    near = f' (did you mean {folder / "instances_train2017.json"}?)'
    assert path_suggestion(folder / 'instance_train2017.json') == near
    assert path_suggestion(folder / 'captions.json') == ''
    assert path_suggestion(folder / 'link.json') == ''  # which is there, and leads nowhere
    assert (
        path_suggestion(tmp_path / 'cocos/annotations/a.json')
        == f' (did you mean {tmp_path / "coco"}?)'
    )
    assert path_suggestion(tmp_path / 'voc/annotations/a.json') == ''
    assert path_suggestion(folder / 'link.json/a.json') == ''
