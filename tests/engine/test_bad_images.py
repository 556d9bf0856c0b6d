"""Images that cannot be read are named, and replaced where configured."""

from types import SimpleNamespace

import cv2
import pytest
from mmdet.datasets import CocoDataset
from mmengine.dataset import ConcatDataset, RepeatDataset
from torch.utils.data import DataLoader

from mmgradaug.datasets.shapes import ShapesSpec, make_shapes
from mmgradaug.engine import bad_images
from mmgradaug.engine.bad_images import BadImageError, BadImagesHook, check_images

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='PackDetInputs', meta_keys=('img_path',))]


@pytest.fixture
def images(tmp_path):
    """A data set of six images, and its files."""
    make_shapes(tmp_path, ShapesSpec(6, size=(64, 64)), ShapesSpec(1, size=(64, 64)))

    def dataset(**kwargs):
        options = dict(
            data_root=str(tmp_path),
            ann_file='annotations/train.json',
            data_prefix=dict(img='train/'),
            metainfo=dict(classes=('circle', 'square', 'triangle')),
            pipeline=PIPELINE,
        )
        return CocoDataset(**(options | kwargs))

    return dataset, sorted((tmp_path / 'train').iterdir())


def cut(path, share=0.5):
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def loaded(dataset):
    """The files that a pass over a data set shows."""
    return [dataset[i]['data_samples'].img_path.rsplit('/')[-1] for i in range(len(dataset))]


def test_whole_images_are_loaded_as_before(images):
    dataset, _ = images
    plain, checked = dataset(), dataset()
    check_images(checked, 0)
    assert loaded(checked) == loaded(plain)
    assert all((plain[i]['inputs'] == checked[i]['inputs']).all() for i in range(6))


@pytest.mark.parametrize('damage', ['cut', 'empty', 'text', 'missing'])
def test_a_bad_image_is_named(images, damage):
    dataset, files = images
    checked = dataset()
    check_images(checked, 0)
    if damage == 'cut':
        cut(files[2])
    elif damage == 'missing':
        files[2].unlink()
    else:
        files[2].write_text('' if damage == 'empty' else 'not found')
    with pytest.raises(BadImageError) as error:
        loaded(checked)
    assert str(files[2]) in str(error.value)
    assert 'max_bad_images=N' in str(error.value)


def test_a_jpeg_without_its_end_marker_is_loaded_and_one_without_pixels_named(images):
    dataset, files = images
    checked = dataset()
    check_images(checked, 0)
    data = cv2.imencode('.jpg', cv2.imread(str(files[2])))[1].tobytes()
    files[2].write_bytes(data)  # decoders look at the content, not at the name
    whole = [sample['inputs'] for sample in dataset()]
    files[2].write_bytes(data[:-2])
    assert loaded(checked) == [file.name for file in files]
    assert all((checked[i]['inputs'] == whole[i]).all() for i in range(6))
    files[2].write_bytes(data[: len(data) // 2])
    assert cv2.imread(str(files[2])) is not None, 'filled up with grey'
    with pytest.raises(BadImageError, match=rf'{files[2].name} \(its last pixels are missing\)'):
        loaded(checked)


def test_whole_files_are_read_once(images, monkeypatch):
    dataset, files = images
    files[2].write_bytes(cv2.imencode('.jpg', cv2.imread(str(files[2])))[1].tobytes())
    checked = dataset()
    check_images(checked, 0)
    monkeypatch.setattr(bad_images, 'lacks_end', lambda data: pytest.fail('read once more'))
    assert len(loaded(checked)) == 6


def test_where_configured_another_sample_takes_its_place(images, monkeypatch):
    messages = []
    monkeypatch.setattr(bad_images, 'print_log', lambda text, **kwargs: messages.append(text))
    dataset, files = images
    checked = ConcatDataset([dataset(), dataset(indices=[0, 1])])
    check_images(checked, 2)
    cut(files[3])
    cut(files[5])
    shown = loaded(checked) + loaded(checked)
    assert len(shown) == 16
    assert not {files[3].name, files[5].name} & set(shown)
    for message, file, count in zip(messages, (files[3], files[5]), (1, 2), strict=True):
        assert str(file) in message and f'bad image {count} of at most 2' in message


def test_images_of_another_size_than_their_entries_are_named(images, monkeypatch):
    messages = []
    monkeypatch.setattr(bad_images, 'print_log', lambda text, **kwargs: messages.append(text))
    dataset, files = images
    checked = dataset()
    check_images(checked, 0)
    loaded(checked)
    assert not messages
    cv2.imwrite(str(files[2]), cv2.imread(str(files[2]))[:32])
    assert len(loaded(checked) + loaded(checked)) == 12
    (message,) = messages
    assert f'{files[2]} has 32 x 64 pixels' in message and 'annotations say 64 x 64' in message
    for file in files:
        cv2.imwrite(str(file), cv2.imread(str(file))[:32])
    loaded(checked)
    assert len(messages) == 5 and messages[-1].endswith('further ones are not named')


def test_repeated_data_sets_are_looked_into(images):
    dataset, files = images
    checked = RepeatDataset(dataset(), 2)
    check_images(checked, 0)
    cut(files[0])
    with pytest.raises(BadImageError, match='cannot read'):
        loaded(checked)


def test_one_more_than_allowed_is_an_error(images):
    dataset, files = images
    checked = dataset()
    check_images(checked, 2)
    for path in files[:3]:
        cut(path)
    with pytest.raises(BadImageError, match='3 images after 2 allowed'):
        [loaded(checked) for _ in range(3)]


def test_workers_count_together(images):
    dataset, files = images
    checked = dataset()
    check_images(checked, 1)
    cut(files[0])  # to the first worker
    cut(files[1])  # to the second
    loader = DataLoader(checked, num_workers=2, batch_size=1, collate_fn=list)
    with pytest.raises(BadImageError, match='2 images after 1 allowed'):
        [list(loader) for _ in range(4)]


def test_a_metric_over_other_images_is_never_computed(images):
    dataset, files = images
    hook = BadImagesHook(max_bad_images=3)
    loaders = {name: SimpleNamespace(dataset=dataset(test_mode=True)) for name in ('val', 'test')}
    runner = SimpleNamespace(**{f'{name}_dataloader': loader for name, loader in loaders.items()})
    hook.before_val_epoch(runner)
    hook.before_test_epoch(runner)
    cut(files[0])
    for loader in loaders.values():
        with pytest.raises(BadImageError):
            loaded(loader.dataset)


def test_switched_pipelines_are_checked_too(images):
    dataset, files = images
    switched = dataset()
    runner = SimpleNamespace(train_dataloader=SimpleNamespace(dataset=switched))
    BadImagesHook().before_train_epoch(runner)
    switched.pipeline = dataset().pipeline
    BadImagesHook().before_train_epoch(runner)
    cut(files[1])
    with pytest.raises(BadImageError):
        loaded(switched)


@pytest.mark.parametrize('value', [-1, 0.5, True, '3', None])
def test_odd_limits_are_refused(value):
    with pytest.raises(ValueError, match='max_bad_images must be a whole number'):
        BadImagesHook(value)
