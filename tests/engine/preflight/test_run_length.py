import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from mmgradaug.engine.preflight.run_length import pixels_of


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_code_of_any_mask_covers_its_image(data):
    height, width = data.draw(st.tuples(*[st.integers(1, 40)] * 2))
    inside = data.draw(st.sampled_from([0.0, 0.02, 0.5, 1.0]))
    mask = np.random.default_rng(data.draw(st.integers(0, 99))).random((height, width)) < inside
    code = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))['counts'].decode()
    assert pixels_of(code) == height * width


@pytest.mark.parametrize('text', ['abc', 'P', 'ä', ' 1', '~', 'O'])
def test_what_is_no_code(text):
    assert pixels_of(text) is None
