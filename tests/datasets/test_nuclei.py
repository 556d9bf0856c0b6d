import io
import subprocess

import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from PIL import Image
from pycocotools.coco import COCO

from mmgradaug.datasets import nuclei
from mmgradaug.datasets.nuclei import make_nuclei
from mmgradaug.errors import ConfigError

IMAGE = np.random.default_rng(0).integers(0, 3000, (512, 512), dtype=np.uint16)


def label_image():
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


@pytest.fixture
def made(downloads):
    """Downloads of a wheel with that image and these labels, as TIFF files of 16 bits."""
    files = [io.BytesIO(), io.BytesIO()]
    for file, array in zip(files, (IMAGE, label_image()), strict=True):
        Image.fromarray(array).save(file, format='TIFF')
    return downloads(nuclei, *(file.getvalue() for file in files))


@pytest.fixture
def root(tmp_path, made):
    """The data set made from that wheel."""
    return make_nuclei(tmp_path / 'nuclei')


def areas(root, split):
    """Areas of the nuclei by tile, largest first."""
    coco = COCO(str(root / 'annotations' / f'{split}.json'))
    found = {image['file_name']: [] for image in coco.imgs.values()}
    for annotation in coco.anns.values():
        found[coco.imgs[annotation['image_id']]['file_name']].append(annotation['area'])
    return {name: sorted(values, reverse=True) for name, values in found.items()}


def test_split_tiles_and_areas(root):
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


def test_mmdet_loads_the_masks_pixel_by_pixel(root):
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


def test_tiles_are_the_image_stretched_by_the_training_columns(root):
    low, high = np.percentile(IMAGE[:, :384], (1.0, 99.8))
    whole = np.zeros((512, 512, 3))
    for path in root.glob('*/tile_*.png'):
        y, x = (int(part[1:]) for part in path.stem.split('_')[1:])
        with Image.open(path) as tile:
            whole[y : y + 128, x : x + 128] = np.asarray(tile)
    stretched = np.rint(255 * (IMAGE - low) / (high - low)).clip(0, 255)
    assert np.array_equal(whole, np.repeat(stretched[..., None], 3, axis=2))


def test_what_is_there_stays_and_what_is_lost_or_damaged_is_made_again(root, made):
    readme = (root / 'README.txt').read_text()
    assert all(words in readme for words in ('stardist==', 'BSD', 'Nature'))
    assert (root / 'source' / 'LICENSE.txt').read_text() == 'the licence'
    stamps = {p: p.stat().st_mtime_ns for p in root.rglob('*.*')}
    make_nuclei(root)
    assert stamps == {p: p.stat().st_mtime_ns for p in root.rglob('*.*')}
    tile = root / 'val' / 'tile_y128_x384.png'
    content = tile.read_bytes()
    tile.unlink()
    make_nuclei(root)
    assert tile.read_bytes() == content
    assert len(made) == 1
    (root / 'source' / 'img2d.tif').write_bytes(b'damaged')
    (root / 'annotations' / 'val.json').unlink()
    make_nuclei(root)
    assert len(made) == 2
    assert not any(folder.exists() for folder in made)


def test_a_changed_file_is_refused(tmp_path, made, monkeypatch):
    monkeypatch.setitem(nuclei.SOURCE.sha256, 'mask2d.tif', '0' * 64)
    with pytest.raises(ConfigError, match=r'mask2d\.tif .* expected 0{64}'):
        make_nuclei(tmp_path / 'nuclei')
    assert not (tmp_path / 'nuclei').exists()


def test_without_a_network_the_error_names_the_way_out(tmp_path, monkeypatch):
    failed = subprocess.CompletedProcess('pip', 1, '', 'ERROR: Name or service not known\n')
    monkeypatch.setattr(subprocess, 'run', lambda *_, **__: failed)
    with pytest.raises(ConfigError, match=r'Name or service not known.*python tools/make_shapes'):
        make_nuclei(tmp_path / 'nuclei')
    assert not (tmp_path / 'nuclei').exists()
