import numpy as np
import pytest
from PIL import Image

from mmgradaug.datasets.shapes import ShapesSpec, make_shapes
from tools.browse_subnets import main

CONFIG = 'configs/mask_rcnn_r18_gradaug_shapes.py'


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """The option that names a small data set."""
    folder = tmp_path_factory.mktemp('shapes')
    spec = ShapesSpec(num_images=8, size=(64, 64))
    make_shapes(folder, spec, spec)
    return f'train_dataloader.dataset.dataset.data_root={folder}/'


def test_draws_every_iteration(root, tmp_path):
    args = ['--out', str(tmp_path / 'out'), '--iterations', '2', '--cfg-options', root]
    assert main([CONFIG, *args]) == 0
    pictures = sorted((tmp_path / 'out').iterdir())
    assert [p.name for p in pictures] == ['iteration_000.png', 'iteration_001.png']
    for picture in pictures:
        with Image.open(picture) as image:
            assert min(image.size) > 200


def test_colours_do_not_depend_on_the_preprocessor(root, tmp_path):
    preprocessor = 'model.data_preprocessor'
    options = {
        'usual': [],
        'identity': [f'{preprocessor}.mean=None', f'{preprocessor}.std=None'],
        'bgr': [f'{preprocessor}.bgr_to_rgb=False'],
    }
    pictures = []
    for name, changed in options.items():
        np.random.seed(0)  # the flips of the pipeline
        args = ['--out', str(tmp_path / name), '--iterations', '1']
        assert main([CONFIG, *args, '--cfg-options', root, *changed]) == 0
        with Image.open(tmp_path / name / 'iteration_000.png') as image:
            pictures.append(np.asarray(image.convert('RGB')).astype(int))
    for picture in pictures[1:]:
        assert np.abs(picture - pictures[0]).mean() < 0.5


def test_an_image_beyond_the_batch_is_an_error(root, tmp_path):
    args = ['--out', str(tmp_path), '--image', '4', '--cfg-options', root]
    with pytest.raises(SystemExit, match='--image 4 of a batch of 4, expected at most 3'):
        main([CONFIG, *args])


def test_an_option_out_of_range_is_one_line(root):
    with pytest.raises(SystemExit, match=r'error: gradaug\.num_subnets must be'):
        main([CONFIG, '--cfg-options', root, 'model.gradaug.num_subnets=-1'])
