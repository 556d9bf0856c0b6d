import random
import shutil

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from PIL import Image

from mmgradaug.datasets.shapes import ShapesSpec, make_shapes
from mmgradaug.training import Subnet
from mmgradaug.transforms import RandomScale
from mmgradaug.visualization.subnets import caption, save_subnets
from tests.classification import tiny
from tests.networks import batch
from tools import browse_subnets
from tools.browse_subnets import classes_of, main, views_of

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


def test_a_folder_that_cannot_be_made_is_one_line(root, tmp_path, monkeypatch):
    monkeypatch.setattr(browse_subnets, 'draw', None)  # it is refused before
    (tmp_path / 'file').touch()
    with pytest.raises(SystemExit, match=r'^error: --out \S+/file: it is no folder, expected'):
        main([CONFIG, '--out', str(tmp_path / 'file'), '--cfg-options', root])


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


CLASSIFIER = """
custom_imports = dict(imports=['mmgradaug'])
model = dict(
    type='GradAugClassifier',
    backbone=dict(type='SlimmableDepthResNet', depth=20, survival=0.5),
    num_classes=3,
    gradaug=dict(num_subnets=2, shrink='depth', seed=0),
)
train_dataloader = dict(
    batch_size=6,
    num_workers=0,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='ClassFolders', data_root='{root}', split='train', pipeline=[
        dict(type='LoadImageFromFile'), dict(type='ToImageTensor'), dict(type='PackImage'),
    ]),
)
"""


def test_a_classifiers_classes_and_depths_are_shown(tmp_path, monkeypatch):
    root = tiny.make_folders(tmp_path / 'images')
    (tmp_path / 'classes.py').write_text(CLASSIFIER.replace('{root}', str(root)))
    seen = []

    def keep(views, path, *args, title, **kwargs):
        seen.append((title, [(v.width, v.depth, v.scale, caption(v)) for v in views]))
        return save_subnets(views, path, *args, title=title, **kwargs)

    monkeypatch.setattr(browse_subnets, 'save_subnets', keep)
    out = tmp_path / 'out'
    assert main([str(tmp_path / 'classes.py'), '--out', str(out), '--iterations', '2']) == 0
    assert len(list(out.iterdir())) == 2
    model = Config.fromfile(tmp_path / 'classes.py').model
    model = MODELS.build(model)
    for iteration, (title, (full, *views)) in enumerate(seen):
        assert title in {f'iteration {iteration}: {name}' for name in 'abc'}
        assert full == (1.0, None, (1.0, 1.0), 'full network: width 1, scale 1\n32 x 32 px')
        for subnet, (width, depth, scale, words) in zip(
            model.sampler.sample(0, iteration), views, strict=True
        ):
            kept = subnet.kept_blocks(model)
            assert (width, depth) == (1.0, sum(kept) / 9)
            assert f'width 1, depth {depth:.3g}, scale {scale[0]:.3g}\n' in words
    assert len({depth for _, (_, *views) in seen for _, depth, *_ in views}) > 1


def test_the_classes_of_a_mixed_image_are_named_with_their_shares():
    names = ('ant', 'bee', 'cat')
    assert classes_of(torch.tensor(1), names) == 'bee'
    assert classes_of(torch.tensor([0.25, 0.0, 0.75]), names) == '75% cat, 25% ant'
