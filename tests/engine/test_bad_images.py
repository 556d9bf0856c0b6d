"""Images that cannot be read are named, and replaced where configured."""

import re
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmengine.registry import DATASETS
from torch.utils.data import DataLoader

from mmgradaug.datasets.shapes import ShapesSpec, make_shapes
from mmgradaug.engine.hooks import BadImagesHook, bad_images
from mmgradaug.engine.hooks.bad_images import check_loading, refuse_cut_off
from mmgradaug.errors import ConfigError
from tests.coco_runs import coco_config


@pytest.fixture
def files(tmp_path):
    """Six images."""
    make_shapes(tmp_path, ShapesSpec(6, size=(64, 64)), ShapesSpec(1, size=(64, 64)))
    return sorted((tmp_path / 'train').iterdir())


@pytest.fixture
def dataset(tmp_path, files):
    """A data set of them: ``dataset(**options)``."""
    pack = dict(type='PackDetInputs', meta_keys=('img_path',))
    options = coco_config(tmp_path, None)['train_dataloader']['dataset']
    options |= dict(pipeline=[dict(type='LoadImageFromFile'), pack])
    return lambda **kwargs: DATASETS.build(options | kwargs)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.fixture
def messages(monkeypatch):
    """Warnings."""
    texts = []
    monkeypatch.setattr(bad_images, 'print_log', lambda text, **kwargs: texts.append(text))
    return texts


def loaded(dataset):
    """The files that a pass over a data set shows."""
    return [dataset[i]['data_samples'].img_path.rsplit('/')[-1] for i in range(len(dataset))]


@pytest.mark.parametrize('damage', [
    cut, lambda path: path.unlink(), lambda path: path.write_text(''),
    lambda path: path.write_text('not found'),
], ids=['cut', 'missing', 'empty', 'text'])  # fmt: skip
def test_a_bad_image_is_named(dataset, files, damage):
    checked = dataset()
    check_loading(checked)
    damage(files[2])
    with pytest.raises(ConfigError) as error:
        loaded(checked)
    told = str(error.value)
    assert told.startswith(f'cannot read the image {files[2]} (') and '\n' not in told
    assert told.endswith('max_bad_images=N')


def test_a_cut_off_jpeg_is_named_where_its_decoder_fills_it_with_grey(dataset, files, monkeypatch):
    checked = dataset()
    check_loading(checked)
    data = cv2.imencode('.jpg', cv2.imread(str(files[2])))[1]
    files[2].write_bytes(data[:-30].tobytes())
    monkeypatch.setattr(cv2, 'imdecode', lambda *args: np.full((64, 64, 3), 128, np.uint8))
    with pytest.raises(ConfigError, match=rf'cannot read the image {files[2]} \(OSError: '):
        loaded(checked)


@pytest.mark.parametrize('flags', [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]])
def test_cut_off_jpegs_are_refused_and_others_not_decoded(tmp_path, monkeypatch, flags):
    image = np.random.default_rng(0).integers(0, 255, (60, 70, 3), dtype=np.uint8)
    data = cv2.imencode('.jpg', image, flags)[1].tobytes()
    path = tmp_path / 'image.png'  # decoders look at the content, not at the name

    def refuse(content):
        path.write_bytes(content)
        refuse_cut_off(str(path))

    for share in (0.1, 0.5, 0.9, 0.99):
        with pytest.raises(OSError, match='runcated'):
            refuse(data[: int(share * len(data))])
    refuse(data + b'from a camera')
    monkeypatch.setattr(bad_images.Image, 'open', lambda path: pytest.fail('decoded'))
    refuse(data)
    refuse(cv2.imencode('.png', image)[1].tobytes())


def test_where_configured_another_sample_takes_its_place(dataset, files, messages):
    checked = ConcatDataset([dataset(), dataset(indices=[0, 1])])
    check_loading(checked, 2)
    cut(files[3])
    files[5].unlink()
    shown = loaded(checked) + loaded(checked)
    assert len(shown) == 16
    assert not {files[3].name, files[5].name} & set(shown)
    for message, file, count in zip(messages, (files[3], files[5]), (1, 2), strict=True):
        assert str(file) in message and f'bad image {count} of 2 allowed' in message


def test_every_process_tells_what_it_replaces(dataset, files, monkeypatch, capsys):
    monkeypatch.setattr(bad_images, 'get_rank', lambda: 3)
    checked = dataset()
    check_loading(checked, 1)
    cut(files[3])
    loaded(checked)
    assert re.match(r'warning: process 3: cannot read the image', capsys.readouterr().err)


def test_images_of_another_size_than_their_entries_are_told_once(dataset, files, messages):
    checked = dataset()
    check_loading(checked)
    loaded(checked)
    assert not messages
    for file in files[2:]:
        cv2.imwrite(str(file), cv2.imread(str(file))[:32])
    assert len(loaded(checked) + loaded(checked)) == 12
    (message,) = messages
    assert f'{files[2]} is read with height and width (32, 64)' in message


def test_images_without_a_file_are_loaded(dataset):
    """As the user's own data set keeps them in memory."""
    checked = dataset(pipeline=[dict(type='LoadImageFromNDArray')])
    check_loading(checked)
    image = np.zeros((64, 64, 3), np.uint8)
    assert checked.pipeline({'img': image, 'sample_idx': 0})['img_shape'] == (64, 64)


def test_workers_count_together(dataset, files):
    checked = dataset()
    check_loading(checked, 1)
    cut(files[0])  # to the first worker
    cut(files[1])  # to the second
    loader = DataLoader(checked, num_workers=2, batch_size=1, collate_fn=list)
    with pytest.raises(ConfigError, match='2 images after 1 allowed'):
        [list(loader) for _ in range(4)]


def test_a_metric_over_other_images_is_never_computed(dataset, files):
    hook = BadImagesHook(max_bad_images=3)
    checked = [dataset(test_mode=True), RepeatDataset(dataset(test_mode=True), 1)]
    val, test = (SimpleNamespace(dataset=one) for one in checked)
    runner = SimpleNamespace(val_dataloader=val, test_dataloader=test)
    hook.before_val_epoch(runner)
    hook.before_test_epoch(runner)
    cut(files[0])
    for one in checked:
        with pytest.raises(ConfigError, match='cannot read the image'):
            loaded(one)


def test_switched_pipelines_are_checked_too(dataset, files):
    switched = dataset()
    runner = SimpleNamespace(train_dataloader=SimpleNamespace(dataset=switched))
    BadImagesHook().before_train_epoch(runner)
    switched.pipeline = dataset().pipeline
    BadImagesHook().before_train_epoch(runner)
    cut(files[1])
    with pytest.raises(ConfigError, match='max_bad_images=N'):
        loaded(switched)


def test_names_spelt_otherwise_are_read_and_others_named(dataset, files):
    checked = dataset()
    check_loading(checked)
    renamed = [file.rename(file.with_name(file.name.upper())) for file in files[:2]]
    files[3].rename(files[3].with_suffix('.jpg'))
    found = [checked[i]['data_samples'].img_path for i in range(3)]
    assert found == [str(file) for file in (*renamed, files[2])]
    with pytest.raises(ConfigError, match=rf'{files[3]} \(did you mean .*{files[3].stem}\.jpg'):
        checked[3]
