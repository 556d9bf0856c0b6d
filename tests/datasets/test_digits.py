import gzip

import cv2
import numpy as np

from mmgradaug.classification import ClassFolders
from mmgradaug.datasets import digits, make_digits
from tests.classification.tiny import LOAD


def test_folders_hold_the_pixels_and_a_lost_image_comes_back(tmp_path, downloads, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 28 * 28))
    rows = np.column_stack([pixels, np.arange(50) % 10])  # 5 of each digit, the digits in turn
    lines = ''.join(','.join(map(str, row)) + '\n' for row in rows.tolist())
    downloads(digits, gzip.compress(lines.encode()))
    monkeypatch.setattr(digits, 'EACH', 5)
    monkeypatch.setattr(digits, 'TRAIN', 2)
    root = make_digits(tmp_path / 'digits')
    for split, places in (('train', range(2)), ('val', range(2, 5))):
        dataset = ClassFolders(str(root), split=split, pipeline=LOAD)
        assert dataset.metainfo['classes'] == [str(digit) for digit in range(10)]
        shown = [(digit, place) for digit in range(10) for place in places]
        for sample, (digit, place) in zip(dataset, shown, strict=True):
            assert sample['data_samples'] == digit
            expected = rows[10 * place + digit, :-1].reshape(28, 28)
            assert (sample['inputs'].numpy() == expected).all()  # in all three channels
    stamps = {path: path.stat().st_mtime_ns for path in root.rglob('*.*')}
    make_digits(root)
    assert stamps == {path: path.stat().st_mtime_ns for path in root.rglob('*.*')}
    lost = root / 'val/3/004.png'
    lost.unlink()
    make_digits(root)
    assert cv2.imread(str(lost)).shape == (28, 28, 3)
