import random
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from mmgradaug.datasets.shapes import ShapesSpec, make_shapes
from mmgradaug.training import Subnet
from mmgradaug.transforms import RandomScale
from mmgradaug.visualization.subnets import caption
from tests.networks import batch
from tools.browse_subnets import main, views_of

CONFIG = 'configs/mask_rcnn_r18_gradaug_shapes.py'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A small data set."""
    spec = ShapesSpec(num_images=7, num_crowd=1, size=(64, 64))
    return make_shapes(tmp_path_factory.mktemp('shapes'), spec, spec)


@pytest.fixture
def root(folder):
    """The option that names the data set."""
    return option(folder)


def option(folder):
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
        one = 'model.gradaug.num_subnets=1'
        assert main([CONFIG, *args, '--cfg-options', root, one, *changed]) == 0
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


def test_what_training_would_refuse_is_refused(folder, root, tmp_path):
    with pytest.raises(
        SystemExit, match=r'error: model\.roi_head\.bbox_head\.num_classes=7.*3 clas'
    ):
        main([CONFIG, '--cfg-options', root, 'model.roi_head.bbox_head.num_classes=7'])
    flat = 'train_dataloader.dataset.dataset.pipeline.2.scale=(0,0)'
    with pytest.raises(
        SystemExit, match=r'error: sample \d \(.*/train/.*\) cannot be loaded by Resize: '
    ):
        main([CONFIG, '--out', str(tmp_path), '--cfg-options', root, flat])
    spoilt = shutil.copytree(folder, tmp_path / 'spoilt')
    for image in (spoilt / 'train').iterdir():
        image.write_bytes(image.read_bytes()[:300])
    with pytest.raises(SystemExit, match=r'error: cannot read the image .*spoilt/train'):
        main([CONFIG, '--out', str(tmp_path), '--cfg-options', option(spoilt)])


def test_views_hold_moved_labels_masks_and_ignored_regions():
    (sample,) = batch((3,), size=64)['data_samples']
    instances = sample.gt_instances
    sample.ignored_instances, sample.gt_instances = instances[:1], instances[1:]
    images = torch.zeros(1, 3, 64, 64)
    transform = RandomScale([0.5])
    subnet = Subnet(0.9, transform.draw(random.Random(0)))
    full, view = views_of({'inputs': images, 'data_samples': [sample]}, [subnet], 0)
    assert (full.width, view.width, view.scale) == (1.0, 0.9, (0.5, 0.5))
    assert full.objects.ignored.tolist() == view.objects.ignored.tolist() == [False, False, True]
    assert full.objects.masks.shape == (3, 64, 64) and view.objects.masks.shape == (3, 32, 32)
    assert np.allclose(view.objects.boxes, 0.5 * full.objects.boxes)
    assert 'ignored' in caption(view) and '2 labels, 1 ignored' in caption(full)
