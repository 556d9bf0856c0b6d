import cv2
import numpy as np
import pytest

from mmgradaug.engine.image_size import too_small


@pytest.mark.parametrize('size', [(0, 0), (0, 5), (-3, 5)])
def test_a_resize_to_no_pixel_is_not_taken_for_the_networks_fault(size):
    with pytest.raises(cv2.error) as error:
        cv2.resize(np.zeros((8, 8, 3), np.uint8), size)
    assert 'an image is resized to no pixel' in too_small(error.value)
    assert 'network' not in too_small(error.value)
