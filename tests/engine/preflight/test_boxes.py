"""Boxes of other formats."""

import re
from pathlib import Path

import pytest

from mmgradaug.engine.preflight.boxes import warn_of_boxes_beyond
from mmgradaug.engine.preflight.coco_file import CocoFile
from tests.engine.preflight.checking import check


def test_boxes_of_another_format_are_warned_of_once_a_file(cfg, spoil, capsys):
    def corners(content):
        for a in content['annotations']:
            x, y, width, height = a['bbox']
            a['bbox'] = [x, y, x + width, y + height]

    spoil(corners)
    spoil(corners, 'val')  # which a data set and an evaluator read
    check(cfg)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    for line, split in zip(lines, ('train', 'val'), strict=True):
        assert f'{split}.json ({split}_dataloader.dataset): ' in line
        assert 'expected [x, y, width, height]' in line
        assert line.endswith('is the file [x1, y1, x2, y2]?')


@pytest.mark.parametrize(
    ('box', 'beyond', 'words'),
    [
        ([10, 10, 60, 60], 25, None),  # corners, perhaps
        ([10, 10, 60, 60], 26, r'26 of 100 boxes reach .* \[x1, y1, x2, y2\]\?'),
        ([40, 40, 30, 30], 50, None),
        ([40, 40, 30, 30], 51, '51 of 100 boxes reach .* are they of larger images'),
        ([40, 40, 26, 26], 99, None),  # two pixels over the edge
    ],
)
def test_which_boxes_are_telling(cfg, capsys, box, beyond, words):
    image = dict(file_name='a', height=64, width=64)
    inside = [1, 1, 20, 20]  # in either format
    boxes = [box] * beyond + [inside] * (100 - beyond)
    content = CocoFile(Path('x.json'), {1: image}, [dict(image_id=1, bbox=b) for b in boxes], {})
    warn_of_boxes_beyond(content, 'key')
    told = capsys.readouterr().err
    assert re.search(words, told) if words else not told
