from itertools import islice

import pytest

from mmgradaug.engine.loading import endless


def test_starts_again():
    assert list(islice(endless([1, 2]), 5)) == [1, 2, 1, 2, 1]


def test_empty_loader_is_an_error():
    with pytest.raises(ValueError, match='no batch'):
        next(endless([]))
