"""JPEG files without pixels are told from files without an end marker."""

import cv2
import numpy as np
import pytest

from mmgradaug.engine.jpeg import END, has_end, is_cut_off

KINDS = [
    dict(),
    dict(progressive=1),
    dict(rst_interval=2),
    dict(rst_interval=1, progressive=1),
    dict(sampling_factor=cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420, quality=30),
]


def jpeg(seed=0, size=120, quality=90, smooth=False, **options):
    image = np.random.default_rng(seed).integers(0, 255, (size, size + 9, 3), dtype=np.uint8)
    if smooth:  # most coefficients are zero, and a block takes a few bits
        image = cv2.GaussianBlur(image, (0, 0), 9)
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality]
    for name, value in options.items():
        flags += [getattr(cv2, f'IMWRITE_JPEG_{name.upper()}'), value]
    return cv2.imencode('.jpg', image, flags)[1].tobytes()


@pytest.mark.parametrize('options', KINDS)
@pytest.mark.parametrize('smooth', [False, True])
def test_missing_pixels_are_found_and_missing_markers_forgiven(options, smooth):
    for seed in range(4):
        data = jpeg(seed, smooth=smooth, **options)
        assert data.endswith(END) and has_end(data)
        whole = data[:-2]
        for end in (b'', b'\xff', b'\0' * 100, END, END + b'from a camera'):
            assert not is_cut_off(whole + end)
        for length in np.random.default_rng(seed).integers(2, len(whole) - 3, 12):
            assert not has_end(data[:length])
            assert is_cut_off(data[:length])
            assert is_cut_off(data[:length] + b'\0' * (len(data) - length))


def test_cuts_between_restarts_and_scans_are_found():
    for options in (dict(rst_interval=4), dict(progressive=1), dict(rst_interval=8, progressive=1)):
        data = jpeg(**options)
        places = [i for i in range(2, len(data) - 2) if data[i] == 0xFF and data[i + 1] >= 0xC4]
        assert len(places) > 10
        for place in places:
            assert is_cut_off(data[:place])


def test_the_end_of_a_thumbnail_is_not_the_images():
    thumbnail, data = jpeg(1, 20), jpeg(2)
    header = b'\xff\xe1' + (len(thumbnail) + 2).to_bytes(2, 'big') + thumbnail
    whole = data[:2] + header + data[2:]
    assert has_end(whole)
    assert not has_end(whole[:-2]) and not is_cut_off(whole[:-2])
    assert is_cut_off(whole[: len(whole) // 2])


def test_files_of_other_kinds_are_left_alone():
    for data in (b'', b'\x89PNG\r\n', b'not found', b'\xff'):
        assert not is_cut_off(data)
    for data in (b'\xff\xd8', b'\xff\xd8\xff\xda\0', b'\xff\xd8' + b'\xff\xda\0\x02' * 9):
        assert is_cut_off(data)
