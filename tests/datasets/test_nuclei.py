import io
import subprocess

import numpy as np
import pytest
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


# Numbers of the nuclei that each tile has, by its first row and column; others have none.
KEPT = {(0, 0): [1, 2], (0, 256): [4], (128, 0): [2], (128, 256): [3], (128, 384): [3],
        (256, 256): [6], (256, 384): [7], (384, 0): [8], (384, 128): [8, 9]}  # fmt: skip


@pytest.mark.parametrize(('split', 'columns'), [('train', (0, 128, 256)), ('val', (384,))])
def test_tiles_of_a_split_have_the_masks_of_their_nuclei(root, split, columns):
    coco = COCO(str(root / f'annotations/{split}.json'))
    assert list(coco.cats.values()) == [{'id': 1, 'name': 'nucleus'}]
    corners = [(y, x) for y in range(0, 512, 128) for x in columns]
    names = [f'tile_y{y:03d}_x{x:03d}.png' for y, x in corners]
    assert [image['file_name'] for image in coco.imgs.values()] == names
    assert sorted(path.name for path in (root / split).iterdir()) == names
    for index, (y, x) in enumerate(corners, start=1):
        tile = label_image()[y : y + 128, x : x + 128]
        annotations = coco.imgToAnns[index]
        assert all(annotation['category_id'] == 1 for annotation in annotations)
        masks = [coco.annToMask(annotation) for annotation in annotations]
        assert np.array_equal(masks, [tile == number for number in KEPT.get((y, x), [])])


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
