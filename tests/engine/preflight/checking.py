"""What the tests of annotation files share."""

import pytest

from mmgradaug.engine.preflight import check_data


def check(cfg):
    check_data(cfg, ('train', 'val'))


def fails(cfg, words, error=ValueError):
    with pytest.raises(error, match=words) as raised:
        check(cfg)
    return str(raised.value)


def first(content):
    return content['annotations'][0]
