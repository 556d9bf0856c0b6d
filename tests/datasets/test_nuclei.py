"""The nuclei data set, made from a small wheel of our own: no network in tests."""

import hashlib
import io
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from numpy.typing import NDArray
from PIL import Image
from pycocotools.coco import COCO

from mmgradaug.datasets import nuclei
from mmgradaug.datasets.nuclei import cut_tiles, make_nuclei, to_8_bit
from mmgradaug.errors import ConfigError

Fetch = Callable[[Path], Path]


def label_image() -> NDArray[np.uint16]:
    """512 x 512 with nuclei inside tiles, across a tile's border, across the split, and tiny."""
    labels = np.zeros((512, 512), dtype=np.uint16)
    labels[10:30, 10:40] = 1  # 600 pixels in the first tile.
    labels[100:140, 50:60] = 2  # 280 above y = 128, 120 below.
    labels[200:210, 380:400] = 3  # 40 left of x = 384, 160 right of it.
    labels[100:104, 300:305] = 4  # 20 pixels: the least that is kept.
    labels[100:104, 320:324] = 5  # 16 pixels: left out.
    labels[300:310, 381:384] = 6  # Ends on the split.
    labels[300:310, 384:390] = 7  # Starts on it.
    labels[400:420, 126:146] = 8  # 40 of 400 pixels left of x = 128: a tenth, kept.
    labels[440:460, 126:147] = 9  # 40 of 420: less than a tenth, left out.
    return labels


def tiff(array: NDArray[np.uint16]) -> bytes:
    """A 16-bit one-channel TIFF file."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format='TIFF')
    return buffer.getvalue()


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel with an image of known grey values; its hashes are the expected ones."""
    image = np.tile(np.arange(512, dtype=np.uint16) * 3, (512, 1))
    files = {'img2d.tif': tiff(image), 'mask2d.tif': tiff(label_image())}
    path = tmp_path / 'stardist-0.9.2-fake.whl'
    with zipfile.ZipFile(path, 'w') as archive:
        for name, content in files.items():
            archive.writestr(f'stardist/data/images/{name}', content)
        archive.writestr('stardist-0.9.2.dist-info/licenses/LICENSE.txt', 'BSD 3-Clause License')
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(nuclei, 'SOURCE', replace(nuclei.SOURCE, sha256=hashes))
    return path


@pytest.fixture
def root(tmp_path: Path, wheel: Path) -> Path:
    """The data set made from the fake wheel."""
    return make_nuclei(tmp_path / 'nuclei', fetch=lambda folder: wheel)


def no_fetch(folder: Path) -> Path:
    """Stands for a machine where nothing may be downloaded."""
    raise AssertionError('fetched, though the files were there')


def areas(root: Path, split: str) -> dict[str, list[float]]:
    """Areas of the nuclei by tile, largest first."""
    coco = COCO(str(root / 'annotations' / f'{split}.json'))
    found: dict[str, list[float]] = {image['file_name']: [] for image in coco.imgs.values()}
    for annotation in coco.anns.values():
        found[coco.imgs[annotation['image_id']]['file_name']].append(annotation['area'])
    return {name: sorted(values, reverse=True) for name, values in found.items()}


def test_split_tiles_and_areas(root: Path) -> None:
    train, val = areas(root, 'train'), areas(root, 'val')
    assert len(train) == 12
    assert len(val) == 4
    assert all(name.endswith('x384.png') for name in val)
    assert {name: a for name, a in train.items() if a} == {
        'tile_y000_x000.png': [600, 280],
        'tile_y000_x256.png': [20],
        'tile_y128_x000.png': [120],
        'tile_y128_x256.png': [40],
        'tile_y256_x256.png': [30],
        'tile_y384_x000.png': [40],
        'tile_y384_x128.png': [380, 360],
    }
    assert {name: a for name, a in val.items() if a} == {
        'tile_y128_x384.png': [160],
        'tile_y256_x384.png': [60],
    }


def test_mmdet_loads_the_masks_pixel_by_pixel(root: Path) -> None:
    dataset = CocoDataset(
        data_root=str(root),
        ann_file='annotations/train.json',
        data_prefix=dict(img='train/'),
        metainfo=dict(classes=nuclei.CLASSES),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
        ],
    )
    first = dataset[0]
    assert first['img_path'].endswith('tile_y000_x000.png')
    assert first['img'].shape == (128, 128, 3)
    tile = label_image()[:128, :128]
    assert np.array_equal(first['gt_masks'].masks.astype(bool), [tile == 1, tile == 2])
    assert first['gt_bboxes'].tensor.tolist() == [[10, 10, 40, 30], [50, 100, 60, 128]]


def test_tiles_put_together_are_the_image() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, size=(512, 512, 3), dtype=np.uint8)
    whole = np.zeros_like(image)
    for columns in ((0, 384), (384, 512)):
        for tile in cut_tiles(image, label_image(), columns):
            y, x = (int(part[1:]) for part in tile.file_name[5:-4].split('_'))
            whole[y : y + 128, x : x + 128] = tile.image
    assert np.array_equal(whole, image)


def test_grey_values_are_stretched_by_the_training_columns() -> None:
    image = np.arange(1000, dtype=np.uint16).reshape(1, 1000)
    grey = to_8_bit(image, reference=image[:, :500])
    low, high = np.percentile(np.arange(500), (1.0, 99.8))
    assert grey.shape == (1, 1000, 3)
    assert grey.dtype == np.uint8
    assert grey[0, 0, 0] == 0
    assert (grey[0, 500:] == 255).all()
    assert grey[0, 250, 0] == round((250 - low) / (high - low) * 255)
    assert (grey[..., 0] == grey[..., 1]).all()
    assert (grey[..., 0] == grey[..., 2]).all()
    flat = np.full((4, 4), 9, dtype=np.uint16)
    assert not to_8_bit(flat, flat).any(), 'no division by zero'


def test_what_is_there_stays_and_a_lost_tile_is_made_again(root: Path) -> None:
    stamps = {p: p.stat().st_mtime_ns for p in root.rglob('*.*')}
    make_nuclei(root, fetch=no_fetch)
    assert stamps == {p: p.stat().st_mtime_ns for p in root.rglob('*.*')}
    tile = root / 'val' / 'tile_y128_x384.png'
    content = tile.read_bytes()
    tile.unlink()
    make_nuclei(root, fetch=no_fetch)
    assert tile.read_bytes() == content


def test_a_damaged_source_is_fetched_again(root: Path, wheel: Path) -> None:
    (root / 'source' / 'img2d.tif').write_bytes(b'damaged')
    (root / 'annotations' / 'val.json').unlink()
    calls = []

    def fetch(folder: Path) -> Path:
        calls.append(folder)
        return wheel

    make_nuclei(root, fetch=fetch)
    assert len(calls) == 1
    assert not calls[0].exists()


def test_licence_and_source_lie_beside_the_data(root: Path) -> None:
    readme = (root / 'README.txt').read_text()
    for words in ('stardist==0.9.2', 'BSD 3-Clause', 'Caicedo', 'Changed here'):
        assert words in readme
    assert (root / 'source' / 'LICENSE.txt').read_text() == 'BSD 3-Clause License'


def test_a_changed_file_is_refused(
    tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(nuclei.SOURCE.sha256, 'mask2d.tif', '0' * 64)
    with pytest.raises(ConfigError, match=r'mask2d\.tif .* expected 0{64}'):
        make_nuclei(tmp_path / 'nuclei', fetch=lambda folder: wheel)
    assert not (tmp_path / 'nuclei').exists()


def test_something_else_than_the_wheel_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / 'stardist-0.9.2.whl'
    wrong.write_bytes(b'<html>')
    with pytest.raises(ConfigError, match=r'is not the wheel of stardist==0\.9\.2'):
        make_nuclei(tmp_path / 'nuclei', fetch=lambda folder: wrong)
    with zipfile.ZipFile(wrong, 'w') as archive:
        archive.writestr('stardist/__init__.py', '')
    with pytest.raises(ConfigError, match=r'img2d\.tif'):
        make_nuclei(tmp_path / 'nuclei', fetch=lambda folder: wrong)


def test_without_a_network_the_error_names_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(command: list[str], **kwargs: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, '', 'ERROR: Name or service not known')

    monkeypatch.setattr(subprocess, 'run', offline)
    with pytest.raises(ConfigError) as caught:
        make_nuclei(tmp_path / 'nuclei')
    message = str(caught.value)
    assert 'Name or service not known' in message
    assert 'python tools/make_shapes.py' in message
    assert not (tmp_path / 'nuclei').exists()
